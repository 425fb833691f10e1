"""Figure 5 of US-Nets: its curves, its film strip, and each claim both ways on tables made by hand."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import colors as mcolors
from PIL import Image

from awnlib.papers.us_nets import agents, claims
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.renderers import film, over_training
from awnlib.studies.kinds import load_any_study
from awnlib.tasks import task_metrics
from awnlib.training.methods import load_methods

METHODS = load_methods({"us_net_policy": {"base": "us_net", "label": "US-Net (policy)"}})
PANEL = PanelConfig(model="nature_cnn", dataset="breakout", test_set="games")
CELL = {"dataset": "breakout", "model": "nature_cnn"}


def exhibit(name, *methods):
    return Exhibit(f"us_nets.{name}", task_metrics("reinforcement")[0], [PANEL], list(methods), METHODS)


def history(method, scores, *, seed=0, width_mult=1.0):
    """Rows of "history" from the mean return at the end of each epoch of 100 steps."""
    about = CELL | {"method": method, "label": METHODS[method].label, "seed": seed, "width_mult": width_mult, "lr": 0.1}
    return [
        about | {"epoch": epoch, "step": 16 * epoch, "metric": metric, "score": value}
        for epoch, score in enumerate(scores, 1)
        for metric, value in (("mean_return", score), ("environment_steps", 100.0 * epoch), ("loss", 9.0))
    ]


def drawn(name, *rows, methods=("i_net", "us_net")):
    frame = pd.DataFrame([row for some in rows for row in some], columns=TABLES["history"].names)
    return over_training.draw(exhibit(name, *methods), {"history": frame})


def lines(axes):
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines]


def test_each_method_has_its_curves_over_the_steps_and_all_stand_side_by_side():
    figure = drawn(
        "figure5",
        history("i_net", [1.0, 2.0]),
        history("i_net", [3.0, 6.0], seed=1),
        history("i_net", [0.0, 1.0], width_mult=0.25),
        history("us_net", [5.0, 7.0]),
    )
    individual, ours, both = figure.axes
    assert lines(individual) == [([100, 200], [0, 1]), ([100, 200], [2, 4])]  # means over seeds, the smallest first
    assert lines(ours) == [([100, 200], [5, 7])]
    assert sorted(lines(both)) == sorted([*lines(individual), *lines(ours)])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["I-Net", "US-Net", "side by side"]
    assert [mcolors.to_hex(line.get_color()) for line in ours.lines] == [individual.lines[1].get_color()]
    assert both.lines[0].get_linestyle() != both.lines[-1].get_linestyle()
    assert [text.get_text() for text in both.get_legend().get_texts()] == ["I-Net", "US-Net"]
    assert [text.get_text() for text in individual.get_legend().get_texts()] == ["1x", "0.25x"]
    assert {axes.get_ylim() for axes in figure.axes} == {both.get_ylim()}
    assert individual.get_xlabel() == "steps of the environments"


def test_many_methods_are_beside_each_other_at_the_ends_of_the_widths():
    rows = [
        history(method, [1.0, 2.0], width_mult=width_mult)
        for method in ("i_net", "us_net", "awn")
        for width_mult in (1.0, 0.5, 0.25)
    ]
    figure = drawn("figure5", *rows, methods=("i_net", "us_net", "awn"))
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3, 6]


def test_a_method_without_results_is_named():
    figure = drawn("figure5", history("us_net", [1.0, 2.0]))
    assert [bool(axes.lines) for axes in figure.axes] == [False, True, True]
    assert "missing: I-Net" in figure.get_supxlabel()


def test_without_a_metric_that_counts_epochs_are_the_axis():
    name = exhibit("figure5", "us_net")
    frame = pd.DataFrame(history("us_net", [4.0, 5.0]))
    points = over_training._points(name, PANEL, frame, over_training.Options())
    assert points["x"].tolist() == [1, 2]


# --- film strips -----------------------------------------------------------------------------------------------------


def picture(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def frames(method, width_mult, points, seed=0):
    about = CELL | {"method": method, "label": METHODS[method].label, "variant": "as_trained", "seed": seed}
    about |= {"width_mult": width_mult, "test_set": "games", "metric": "mean_return"}
    return [
        about | {"image": f"step {step}", "score": score, "picture": picture(int(100 * width_mult + step))}
        for step, score in enumerate(points)
    ]


def test_a_film_has_a_row_for_each_method_and_width():
    rows = [*frames("us_net", 0.25, [0, 0, 1]), *frames("us_net", 1.0, [0, 2]), *frames("us_net", 1.0, [5, 5], seed=1)]
    tables = {"images": pd.DataFrame(rows, columns=TABLES["images"].names)}
    figure = film.draw(exhibit("figure5_film", "i_net", "us_net"), tables)
    upper, lower = figure.axes[:3], figure.axes[3:]
    assert [axes.get_ylabel() for axes in (upper[0], lower[0])] == ["US-Net, 1x", "US-Net, 0.25x"]
    titles = [[axes.get_title(loc="left") for axes in row] for row in (upper, lower)]
    assert titles == [["step 0: 0", "step 1: 2", ""], ["step 0: 0", "step 1: 0", "step 2: 1"]]
    assert lower[2].images[0].get_array()[0, 0].tolist() == [27] * 3
    assert not upper[2].images


# --- claims ----------------------------------------------------------------------------------------------------------


def returns(**scores):
    """Rows of the table of returns from mean and spread at widths 1 and .25 of each method."""
    rows = [
        {
            "method": method,
            "label": method.upper(),
            "width_mult": width_mult,
            "score": score,
            "std": std,
            "num_seeds": 3,
        }
        for method, pairs in scores.items()
        for width_mult, (score, std) in zip((1.0, 0.25), pairs, strict=True)
    ]
    return pd.DataFrame([*rows, {"method": "us_net", "label": "US_NET", "width_mult": None, "score": 99.0}])


@pytest.mark.parametrize(
    ("us_net", "verdict"),
    [
        ([(6.0, 0.1), (5.0, 0.1)], "holds"),
        ([(6.0, 0.1), (3.0, 0.1)], "holds in part"),
        ([(4.0, 0.1), (3.0, 0.1)], "does not hold"),
        ([(6.0, 0.1), (4.1, 0.1)], "undecided"),
        ([(6.0, 2.0), (5.0, 0.1)], "undecided"),
    ],
)
def test_a_us_net_against_individual_networks(us_net, verdict):
    found = agents.better_than_individual(returns(i_net=[(5.0, 0.1), (4.0, 0.1)], us_net=us_net), "us_net")
    assert (found.source, found.verdict) == ("Figure 5", verdict)
    assert found.claim == "US_NET outperforms individually trained networks at every width"
    assert found.numbers.startswith(f"1x {us_net[0][0]:.2f} ± {us_net[0][1]:.2f} against 5.00 ± 0.10; 0.25x")


@pytest.mark.parametrize(("score", "verdict"), [(5.0, "holds"), (3.0, "does not hold"), (4.05, "undecided")])
def test_the_policy_as_a_teacher_at_the_smallest_width(score, verdict):
    rows = returns(awn=[(9.0, 0.1), (4.0, 0.1)], awn_policy=[(1.0, 0.1), (score, 0.1)])
    found = agents.policy_is_better(rows, "awn_policy", "awn")
    assert (found.source, found.verdict) == ("awnlib", verdict)
    assert found.claim == "AWN_POLICY is better than AWN at the smallest width"


def test_claims_without_their_methods_are_not_listed(repository):
    rows = returns(us_net=[(9.0, 0.1), (4.0, 0.1)])
    assert all(check(rows) is None for check in agents.CHECKS)
    study = load_any_study(repository / "configs/reinforcement_small.yaml")
    table = returns(
        i_net=[(5.0, 0.1), (4.0, 0.1)],
        **{name: [(6.0, 0.1), (5.0, 0.1)] for name in ("us_net", "us_net_policy", "awn", "awn_policy")},
    ).assign(model="nature_cnn", dataset="breakout", paper_dataset="breakout", test_set="games")
    found = claims.paper_findings(study, {"us_nets.figure5_returns": table})
    assert [finding.source for _, finding in found] == ["Figure 5", *["awnlib"] * 5]
