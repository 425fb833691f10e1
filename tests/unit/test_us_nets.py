"""The US-Nets paper: its numbers, its table of errors at widths, and every claim both ways on tables made by hand."""

from pathlib import Path

import pandas as pd
import pytest

from awnlib.papers.us_nets import claims, gradient_curves, inequality3, inequality3_table
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import PAPERS, Exhibit, PanelConfig, exhibit_names
from awnlib.results.paper_values import paper_values
from awnlib.results.renderers import at_widths
from awnlib.studies.kinds import load_any_study, parse_any_study
from awnlib.tasks import task_metrics
from awnlib.training.methods import load_methods
from tests.conftest import STUDY

TOP1 = task_metrics("classification")[0]
PANEL = {"model": "mobilenet_v1", "dataset": "small", "paper_dataset": "imagenet"}
LABELS = {"i_net": "I-Net", "s_net": "S-Net", "us_net": "US-Net"}
WIDTHS = [1.0, 0.75, 0.5, 0.25]


def sweep(method, scores, *, seed=0, variant="as_trained", widths=WIDTHS):
    """Rows of "sweep" from the accuracy at each width."""
    cell = {"dataset": "small", "model": "mobilenet_v1", "method": method, "label": LABELS.get(method, method)}
    about = {"variant": variant, "seed": seed, "test_set": "test", "metric": "top1_pct", "is_trained": True}
    return [
        cell | about | {"width_mult": width, "score": score, "macs": int(1e8 * width)}
        for width, score in zip(widths, scores, strict=True)
    ]


def made(name, *rows, methods=("i_net", "s_net", "us_net"), **panel):
    """Make a table of the paper from rows of "sweep"; return its exhibit too."""
    rows = [row for some in rows for row in some]
    exhibit = Exhibit(f"us_nets.{name}", TOP1, [PanelConfig(**PANEL | panel)], list(methods), load_methods())
    runs = [{key: row[key] for key in ("dataset", "model", "method", "label", "seed")} for row in rows]
    tables = {
        "sweep": pd.DataFrame(rows, columns=TABLES["sweep"].names),
        "runs": pd.DataFrame(runs, columns=TABLES["runs"].names).drop_duplicates(),
    }
    return exhibit, at_widths.make(exhibit, tables)


def thrice(rows):
    """The same rows from three seeds that agree to the last digit."""
    return [row | {"seed": seed} for seed in range(3) for row in rows]


TABLE1 = (
    sweep("i_net", [70, 68, 63, 50]),
    sweep("s_net", [71, 69, 64, 53]),
    sweep("us_net", [72, 70, 64, 56], variant="recal31"),
)


def test_errors_at_widths_and_their_mean_stand_beside_the_papers():
    exhibit, table = made("table1", *TABLE1)
    us_net = table[table["method"] == "us_net"]
    assert us_net["score"].tolist() == [28, 30, 36, 44, 34.5]
    assert us_net["paper_score"].tolist() == [28.2, 30.5, 35.8, 44.3, 34.7]
    assert us_net["metric"].unique() == ["top1_pct_error"]
    assert us_net["macs"].tolist()[:4] == [100_000_000, 75_000_000, 50_000_000, 25_000_000]
    [block] = at_widths.layout(exhibit, table)
    assert block.columns == ["width", "MACs", "I-Net", "S-Net", "US-Net"]
    name, [macs, i_net, s_net, us_net] = block.rows[0]
    assert (name, macs.text, i_net.text) == ("1x", "100M", "30.00 (paper 29.10, +0.90)")
    assert s_net.text == "29.00 [+1.00] (paper 28.50, +0.50)"
    assert [cell.is_best for cell in (i_net, s_net, us_net)] == [False, False, True]  # the smallest error
    assert block.rows[-1][0] == "AVG"
    assert "In brackets the gain over I-Net." in block.notes


def test_a_mean_needs_every_width_and_seeds_are_averaged():
    _, table = made(
        "table1", sweep("us_net", [72, 70, 64], widths=WIDTHS[:3]), sweep("us_net", [74, 72, 66, 58], seed=1)
    )
    rows = table[table["method"] == "us_net"].set_index(table[table["method"] == "us_net"]["width_mult"].fillna(0))
    assert rows.loc[1.0, "score"] == 27
    assert rows.loc[1.0, "std"] == pytest.approx(2**0.5)
    assert (rows.loc[0.25, "score"], rows.loc[0.25, "missing"]) == (42, 1)
    assert (rows.loc[0, "score"], rows.loc[0, "missing"]) == (32.5, 1)
    others = table[table["method"] == "s_net"]
    assert others["score"].isna().all()
    assert others["paper_score"].notna().all()


def test_widths_are_the_papers_the_rows_or_those_that_were_trained():
    _, table = made("table2", sweep("us_net_random", [70, 60], widths=[1.0, 0.3]), methods=["us_net_random"])
    assert table["width_mult"].tolist()[:4] == WIDTHS
    _, table = made("table2", methods=["us_net_random"], model="lenet_3c1l", paper_dataset=None)
    assert table["width_mult"].tolist()[:4] == WIDTHS
    _, table = made("table1", sweep("us_net", [70, 60], widths=[1.0, 0.3]), methods=["us_net"], paper_dataset=None)
    assert table["width_mult"].tolist()[:2] == [1.0, 0.3]


def test_the_average_of_the_paper_is_that_of_its_numbers():
    values = paper_values("us_nets")
    for exhibit, model, method in {(key[0], key[3], key[4]) for key in values.by_key if key[0] != "table3"}:
        cell = {"model": model, "method": method, "variant": "recal31", "metric": "top1_pct_error"}
        cell |= {"dataset": "imagenet", "test_set": "test"}
        widths = values.widths(exhibit, dataset="imagenet", model=model)
        assert len(widths) == 4
        at = [values.value(exhibit, width_mult=width, **cell) for width in widths]
        mean = values.value(exhibit, **cell)
        assert mean == pytest.approx(sum(at) / 4, abs=0.051)


@pytest.mark.parametrize(
    ("us_net", "verdicts"),
    [
        ([72, 70, 64, 56], ["holds", "holds", "holds"]),
        ([60, 60, 60, 35], ["does not hold", "does not hold", "does not hold"]),
        ([72, 70, 60, 50], ["holds", "does not hold", "holds in part"]),
    ],
)
def test_claims_of_table_1(us_net, verdicts):
    _, table = made("table1", *map(thrice, (*TABLE1[:2], sweep("us_net", us_net, variant="recal31"))))
    checks = (claims.better_than_individual, claims.better_than_slimmable, claims.gains_most_when_narrow)
    assert [check(table).verdict for check in checks] == verdicts


def test_claims_of_table_1_are_undecided_between_seeds():
    noisy = [*sweep("us_net", [72, 70, 64, 52]), *sweep("us_net", [68, 66, 62, 52], seed=1)]
    plain = [*sweep("i_net", [70, 68, 63, 50]), *sweep("i_net", [70, 68, 63, 53], seed=1)]
    _, table = made("table1", noisy, plain)
    assert claims.better_than_individual(table).verdict == "undecided"


RULES = ("us_net_random", "us_net_min_random", "us_net_max_random", "us_net_3_hard")


@pytest.mark.parametrize(
    ("means", "verdicts"),
    [((60, 62, 61, 63), ["holds", "holds"]), ((60, 61, 62, 61.5), ["holds in part", "does not hold"])],
)
def test_claims_of_table_2(means, verdicts):
    rows = [thrice(sweep(method, [mean] * 4)) for method, mean in zip(RULES, means, strict=True)]
    _, table = made("table2", *rows, methods=RULES)
    assert [check(table).verdict for check in (claims.sandwich_is_best, claims.smallest_matters_more)] == verdicts


@pytest.mark.parametrize(
    ("few", "moving", "verdicts"), [(0.05, -0.05, ["holds"] * 2), (0.3, 0.2, ["does not hold"] * 2)]
)
def test_claims_of_table_3(few, moving, verdicts):
    parts = {"recal31": 0.0, "recal31-1000": -few, "recal31-moving": moving}
    rows = [thrice(sweep("us_net", [70 + shift] * 4, variant=variant)) for variant, shift in parts.items()]
    _, table = made("table3", *rows, methods=["us_net"])
    assert table["paper_score"].notna().sum() == 12
    assert [check(table).verdict for check in (claims.few_images_are_enough, claims.exact_is_no_worse)] == verdicts


def aucs(**scores):
    rows = [
        PANEL | {"method": method, "label": method, "variant": "recal31"} | {"score": score, "std": 0.0, "num_seeds": 3}
        for method, score in scores.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["exhibit"].names)


@pytest.mark.parametrize(
    ("check", "rows", "verdict"),
    [
        (claims.distillation_helps, {"us_net": 70, "us_net_hard": 69}, "holds"),
        (claims.distillation_helps, {"us_net": 68, "us_net_hard": 69}, "does not hold"),
        (claims.four_widths_beat_three, {"us_net": 70, "us_net_3": 69}, "holds"),
        (claims.five_widths_are_as_good, {"us_net": 70, "us_net_5": 70.4}, "holds"),
        (claims.five_widths_are_as_good, {"us_net": 70, "us_net_5": 71}, "does not hold"),
        (claims.divisor_helps, {"us_net": 70, "us_net_divisor_1": 69}, "holds"),
        (claims.divisor_helps, {"us_net": 69, "us_net_divisor_1": 70}, "does not hold"),
        (claims.labels_do_not_help, {"us_net": 70, "us_net_mixed": 69, "us_net_decaying": 68}, "holds"),
        (claims.labels_do_not_help, {"us_net": 70, "us_net_mixed": 69, "us_net_decaying": 71}, "holds in part"),
        (claims.smallest_width_decides, {"us_net_from_35": 71, "us_net": 70, "us_net_from_05": 69}, "holds"),
        (claims.smallest_width_decides, {"us_net_from_35": 69, "us_net": 70, "us_net_from_05": 71}, "does not hold"),
        (claims.not_naturally_slimmable, {"plain_calibrated": 30}, "holds"),
        (claims.not_naturally_slimmable, {"plain_calibrated": 3}, "does not hold"),
    ],
)
def test_claims_of_figures(check, rows, verdict):
    assert check(aucs(**rows)).verdict == verdict


def findings_of(name, methods, *rows):
    """The findings of a study that shows one figure, from rows of "sweep"."""
    panel = {"model": "lenet_3c1l", "dataset": "shapes", "paper_dataset": "imagenet"}
    study = parse_any_study(STUDY | {"exhibits": {f"us_nets.{name}": {"panels": [panel], "methods": methods}}})
    sweeps = pd.DataFrame([row for some in rows for row in some], columns=TABLES["sweep"].names)
    tables = {"sweep": sweeps.assign(model="lenet_3c1l", dataset="shapes")}
    return [finding for _, finding in claims.paper_findings(study, tables)]


def test_smallest_widths_are_compared_where_all_networks_have_widths():
    everywhere = {"us_net_from_35": [1.0, 0.35], "us_net": [1.0, 0.6, 0.25], "us_net_from_05": [1.0, 0.05]}
    scores = {"us_net_from_35": [70, 60], "us_net": [70, 62, 27], "us_net_from_05": [70, 32]}
    rows = [
        sweep(method, scores[method], variant="recal4", widths=widths, seed=seed)
        for method, widths in everywhere.items()
        for seed in (0, 1)
    ]
    [finding] = findings_of("figure7", list(everywhere), *rows)
    # from .35 on: 65; 62 between .6 and 1 at 66, at .35 it is 37: (.4 * 66 + .25 * 49.5) / .65; at .35 44, then 70: 57
    assert finding.numbers == "us_net_from_35 65.00 ± 0.00; US-Net 59.65 ± 0.00; us_net_from_05 57.00 ± 0.00"
    assert finding.verdict == "holds"


def test_a_plain_network_is_read_at_half_its_width_and_failed_runs_are_left_out():
    whole = sweep("plain_calibrated", [90, 70, 30], variant="recal4", widths=[1.0, 0.6, 0.4])
    failed = sweep("plain_calibrated", [None, None, None], variant="recal4", widths=[1.0, 0.6, 0.4], seed=1)
    uncalibrated = sweep("full_width_dense", [90, 10, 10], widths=[1.0, 0.6, 0.4])
    [finding] = findings_of(
        "naturally_slimmable", ["full_width_dense", "plain_calibrated"], whole, failed, uncalibrated
    )
    assert (finding.verdict, finding.numbers) == ("holds", "lost: 40.00")


@pytest.mark.parametrize(("slimmed", "verdict"), [(71, "holds"), (69, "does not hold")])
def test_the_claim_on_slimming(slimmed, verdict):
    rows = pd.concat([aucs(us_net_nonuniform=70), aucs(us_net_nonuniform=slimmed), aucs(us_net=99)])
    rows["variant"] = ["recal31", "slimmed31", "recal31"]
    found = claims.slimming_helps(rows)
    assert (found.source, found.verdict) == ("Section 6", verdict)
    assert claims.slimming_helps(rows[:1]) is claims.slimming_helps(rows[1:]) is None


def test_claims_without_their_methods_are_not_listed():
    _, table = made("table1", TABLE1[0], methods=["i_net"])
    assert claims.better_than_individual(table) is None
    assert claims.gains_most_when_narrow(table) is None
    assert claims.sandwich_is_best(table) is None
    assert claims.few_images_are_enough(table) is None
    assert claims.distillation_helps(aucs(us_net=70)) is None
    assert claims.five_widths_are_as_good(aucs(us_net=70)) is None
    assert claims.labels_do_not_help(aucs(us_net=70)) is None
    assert claims.smallest_width_decides(aucs(us_net=70)) is None
    assert claims.not_naturally_slimmable(aucs(us_net=70)) is None


@pytest.mark.parametrize(
    "paths",
    [
        [
            PAPERS / "us_nets/setting.yaml",
            PAPERS / "us_nets/setting_super_resolution.yaml",
            PAPERS / "us_nets/setting_reinforcement.yaml",
        ],
        [
            Path("configs/us_nets_ci.yaml"),
            Path("configs/super_resolution_ci.yaml"),
            Path("configs/reinforcement_ci.yaml"),
        ],
    ],
    ids=["the paper's", "ci"],
)
def test_studies_show_every_exhibit(repository, paths):
    """One of each task."""
    shown = [name for path in paths for name in load_any_study(repository / path).shown]
    assert sorted(shown) == sorted(name for name in exhibit_names("widths") if name.startswith("us_nets."))


def test_the_setting_is_that_of_section_5_1():
    study = load_any_study(PAPERS / "us_nets/setting.yaml")
    train = study.train_settings(model="mobilenet_v1", dataset="imagenet", method="us_net")
    assert (train.num_epochs, train.batch_size, train.lr, train.schedule) == (250, 1024, 0.5, "linear")
    assert study.models["mobilenet_v1"].divisor == 8
    widths = {name: study.width_settings(model=name, dataset="imagenet", method="us_net") for name in study.models}
    assert widths == {"mobilenet_v1": [1.0, 0.75, 0.5, 0.25], "mobilenet_v2": [1.0, 0.75, 0.5, 0.35]}
    methods = study.resolved_methods()
    assert {methods[name].num_widths for name in RULES} == {3}
    assert not any(methods[name].distillation for name in RULES)
    assert [methods[name].widths for name in RULES] == ["random", "min_random", "max_random", "sandwich"]


def residuals(method, layer, values, *, seed=0, counts=(2, 4, 4, 8)):
    """Rows of "residuals" of a layer: residual over magnitude, and which share is bounded and shrinks."""
    cell = {"dataset": "small", "model": "mobilenet_v1", "method": method, "label": method, "seed": seed}
    return [
        cell
        | {"layer": layer, "width_mult": width, "num_inputs": count, "residual": relative, "relative": relative}
        | {"bounded_pct": bounded, "shrinking_pct": shrinking}
        for width, count, (relative, bounded, shrinking) in zip(WIDTHS[::-1], counts, values, strict=True)
    ]


def test_residual_errors_are_averaged_over_widths_at_which_inputs_come_and_are_missing():
    first = residuals("us_net", "a", [(0.8, None, None), (0.4, 60, 70), (0.4, 60, 100), (0, 100, 100)])
    last = residuals(
        "us_net", "b", [(0.6, None, None), (0.5, 80, 90), (0.3, 90, 92), (0, 100, 100)], counts=(2, 4, 6, 8)
    )
    panel = [PanelConfig(**PANEL)]
    exhibit = Exhibit("us_nets.inequality3_shares", TOP1, panel, ["us_net", "awn_rs"], load_methods())
    cells = [{**PANEL, "method": method, "label": method, "seed": 0} for method in ("us_net", "awn_rs")]
    tables = {
        "residuals": pd.DataFrame([*first, *last], columns=TABLES["residuals"].names),
        "runs": pd.DataFrame(cells, columns=TABLES["runs"].names),
    }
    table = inequality3_table.make(exhibit, tables)
    found = table[table["method"] == "us_net"].set_index("metric")["score"].to_dict()
    means = {"residual_at_smallest_pct": 70.0, "residual_pct": (60 + 140 / 3) / 2}
    assert found == pytest.approx(means | {"bounded_pct": (60 + 85) / 2, "shrinking_pct": (70 + 91) / 2})
    other = table[table["method"] == "awn_rs"]
    assert other["score"].isna().all()
    assert other["missing"].tolist() == [1] * 4
    [block] = inequality3_table.layout(exhibit, table)
    assert [name for name, _ in block.rows] == ["US-Net", "AWN+RS"]
    assert block.rows[0][1][0].text == "70.00"
    assert not any(cell.is_best for _, cells in block.rows for cell in cells)


def test_residual_errors_are_drawn_for_each_layer_and_method():
    values = [(0.8, None, None), (0.4, 60, 70), (0.2, 60, 100), (0.0, 100, 100)]
    rows = [row for layer in "cba" for row in residuals("us_net", layer, values)]
    rows += residuals("us_net", "c", [(0.6, None, None), *values[1:]], seed=1)
    methods = ["us_net", "awn_rs"]
    exhibit = Exhibit("us_nets.inequality3", TOP1, [PanelConfig(**PANEL)], methods, load_methods())
    figure = inequality3.draw(exhibit, {"residuals": pd.DataFrame(rows, columns=TABLES["residuals"].names)})
    drawn, empty = figure.axes
    lines = [line.get_ydata().tolist() for line in drawn.lines]
    assert lines[0] == pytest.approx([70, 40, 20, 0])  # of layer c, the first one: mean over two seeds
    assert lines[1] == lines[2] == pytest.approx([80, 40, 20, 0])
    assert lines[3] == pytest.approx([230 / 3, 40, 20, 0])
    assert drawn.lines[0].get_xdata().tolist() == WIDTHS[::-1]
    assert [text.get_text() for text in empty.texts] == ["no results"]
    assert "AWN+RS" in figure.get_supxlabel()


def compared(method, step, norms, cosine, *, seed=0):
    """Rows of "gradients" of the widths 1 and .5 in one step."""
    cell = {"dataset": "small", "model": "mobilenet_v1", "method": method, "label": method, "seed": seed, "step": step}
    nothing = {"other_width_mult": None, "other_norm": None, "cosine": None}
    alone = [cell | {"width_mult": w, "norm": norm} | nothing for w, norm in zip([1.0, 0.5], norms, strict=True)]
    return [*alone, {**alone[0], "other_width_mult": 0.5, "norm": 9.0, "other_norm": 9.0, "cosine": cosine}]


def test_norms_and_cosines_are_drawn_over_the_training():
    rows = [*compared("us_net", 0, [4.0, 2.0], 0.5), *compared("us_net", 8, [1.0, 2.0], -0.5)]
    rows += compared("us_net", 8, [3.0, 2.0], 0.1, seed=1)
    exhibit = Exhibit("us_nets.gradients", TOP1, [PanelConfig(**PANEL)], ["us_net", "awn_rs"], load_methods())
    figure = gradient_curves.draw(exhibit, {"gradients": pd.DataFrame(rows, columns=TABLES["gradients"].names)})
    norms, empty, cosines, below = figure.axes
    drawn = [[*zip(line.get_xdata(), line.get_ydata(), strict=True)] for line in (*norms.lines[:2], cosines.lines[0])]
    assert drawn == [[(0, 4), (8, 2)], [(0, 2), (8, 2)], [(0, 0.5), (8, pytest.approx(-0.2))]]
    shown = [[text.get_text() for text in axes.get_legend().texts] for axes in (empty, below)]
    assert shown == [["width 1", "width 0.5"], ["1 and 0.5"]]
    assert [text.get_text() for axes in (empty, below) for text in axes.texts] == ["no results"] * 2
    assert "AWN+RS" in figure.get_supxlabel()


def test_subplots_side_by_side_have_one_scale():
    rows = [*compared("us_net", 0, [4.0, 2.0], 0.5), *compared("awn_rs", 0, [9.0, 8.0], 0.9)]
    exhibit = Exhibit("us_nets.gradients", TOP1, [PanelConfig(**PANEL)], ["us_net", "awn_rs"], load_methods())
    figure = gradient_curves.draw(exhibit, {"gradients": pd.DataFrame(rows, columns=TABLES["gradients"].names)})
    norms, others, cosines, below = (axes.get_ylim() for axes in figure.axes)
    assert norms == others
    assert cosines == below
    assert norms[0] <= 2
    assert norms[1] >= 9


def test_scores_of_another_metric_have_its_unit_and_direction():
    """PSNR, of which more is better, and a paper's number of it."""
    psnr = task_metrics("super_resolution")[0]
    exhibit = Exhibit("us_nets.figure4_scores", psnr, [PanelConfig(**PANEL)], ["i_net", "us_net"], load_methods())
    rows = [
        row | {"metric": "psnr_db"}
        for method, scores in (("i_net", [33.0, 32.0]), ("us_net", [33.1, 31.9]))
        for row in sweep(method, scores, widths=[1.0, 0.5])
    ]
    tables = {
        "sweep": pd.DataFrame(rows, columns=TABLES["sweep"].names),
        "runs": pd.DataFrame(rows, columns=TABLES["runs"].names).drop_duplicates(["method", "seed"]),
    }
    frame = at_widths.make(exhibit, tables).assign(paper_score=33.0, difference=0.1)
    [block] = at_widths.layout(exhibit, frame)
    assert block.title.startswith("PSNR, dB: ")
    assert [[cell.is_best for cell in cells] for _, cells in block.rows[:2]] == [[False, True], [True, False]]
    assert "With it the paper's number and the difference (ours minus the paper's) in dB." in block.notes
