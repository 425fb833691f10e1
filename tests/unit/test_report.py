"""The report: complete, self-contained, escaped; and the findings that stand at its top."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from awnlib.report.page import format_time
from awnlib.report.report import write_report
from awnlib.results.columns import TABLES
from awnlib.results.paper_values import paper_values
from awnlib.results.renderers import over_all_widths
from awnlib.results.summaries import model_sizes, orders, worst_drift
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import task_metrics

TOP1 = task_metrics("classification")[0]
TABLE2 = "any_width_networks.table2"
PANEL = {"model": "mobilenet_v2", "dataset": "small", "paper_dataset": "cifar10"}
AUCS = {("awn", "as_trained"): 90.0, ("s_net", "as_trained"): 60.0, ("us_net", "recal10"): 89.0}
LABELS = {"awn": "AWN", "s_net": "S-Net", "us_net": "US-Net(10w)"}
PAPER = paper_values("any_width_networks")
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects links, images and text, and checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.images, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.links += [attrs["href"]] if "href" in attrs else []
        self.images += [attrs["src"]] if "src" in attrs else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def study(monkeypatch):
    monkeypatch.setattr("awnlib.studies.widths.config.model_names", lambda: ["mobilenet_v2"])
    return parse_study(
        {
            "study": "demo",
            "description": "Fast & <b>small</b>.",
            "seeds": [0],
            "datasets": {"small": {"source": "cifar10"}},
            "exhibits": {
                f"any_width_networks.{name}": {"panels": [PANEL], "methods": ["awn", "s_net", "us_net"]}
                for name in ("table2", "figure5", "figure6")
            },
        }
    )


def table(name, rows):
    return pd.DataFrame(rows, columns=TABLES[name].names)


def cell(method):
    return {"dataset": "small", "model": "mobilenet_v2", "method": method, "label": LABELS[method], "seed": 0}


def run(method, **changes):
    values = {"state": "ok", "num_epochs": 3, "lr": 0.01, "train_time_s": 120.0, "params_full": 1000, "device": "cpu"}
    return cell(method) | values | changes


def evaluations(aucs=AUCS):
    switches = {"awn": 1, "s_net": 4, "us_net": 10}
    return table(
        "evaluations",
        [
            cell(method)
            | {"variant": variant, "state": "ok", "score": auc, "num_switches": switches[method]}
            | {"test_set": "test", "metric": "top1_pct"}
            | {"params_stored": 1000 + 10 * (switches[method] - 1)}
            for (method, variant), auc in aucs.items()
        ],
    )


def table2(study, frame):
    return over_all_widths.make(study.exhibit(TABLE2), {"evaluations": frame})


def study_tables():
    return {
        "evaluations": evaluations(),
        "runs": table("runs", [run(method) for method in LABELS]),
        "bn_drift": table("bn_drift", []),
    }


@pytest.fixture
def write(tmp_path, study):
    (tmp_path / "figures").mkdir()
    svg, png = tmp_path / "figures" / "figure5.svg", tmp_path / "figures" / "figure6.png"
    svg.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    png.write_bytes(b"not really")
    content = {
        "study": study,
        "tables": study_tables() | {TABLE2: table2(study, evaluations())},
        "figures": {"any_width_networks.figure6": png, "any_width_networks.figure5": svg},
        "provenance": {"awnlib": "1.2.3", "commit": "", "cpu": "A <fast> one"},
        "files": [tmp_path / "tables" / "table2.csv"],
    }

    def write(**changes):
        path = tmp_path / "report" / "index.html"
        write_report(path, **(content | changes))
        return Page(path.read_text())

    return write


def test_the_page_holds_its_figures_and_loads_nothing(write, tmp_path):
    page = write()
    assert [source.partition(",")[0] for source in page.images] == [
        "data:image/svg+xml;base64",
        "data:image/png;base64",
    ]
    assert base64.b64decode(page.images[0].partition(",")[2]).startswith(b"<svg")
    assert page.links == ["../figures/figure5.svg", "../figures/figure6.png", "../tables/table2.csv"]
    raw = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", raw)


def test_text_is_escaped_and_complete(write, tmp_path):
    failed = run("s_net", state="failed", error="</td><script>alert(1)</script>")
    page = write(tables=study_tables() | {"runs": table("runs", [run("awn"), failed])})
    raw = (tmp_path / "report" / "index.html").read_text()
    assert "<script" not in raw
    assert "&lt;/td&gt;&lt;script&gt;alert(1)" in raw
    assert "Fast & <b>small</b>." in page.text
    assert "A <fast> one" in page.text
    assert "1 of 2" in page.text
    assert "paper_dataset: cifar10" in page.text


def test_the_papers_numbers_and_the_verdict_are_shown(write):
    page = write()
    assert "The paper's order of the methods holds in part: 2 of 3 pairs" in page.text
    assert "MobileNetV2, small (paper: CIFAR-10): 2 of 3 pairs; best is AWN (paper: US-Net(10w))." in page.text
    assert "90.00 paper 90.91, -0.91" in page.text
    assert "US-Net(10w) 10 1,090 +9.0 % +9 % 89.00" in page.text
    assert "Every training run and evaluation succeeded." in page.text


def test_an_empty_study_still_gives_a_page(write):
    empty = {name: table(name, []) for name in ("evaluations", "runs", "bn_drift")}
    page = write(tables=empty, figures={}, files=[])
    assert "could not be checked" in page.text
    assert page.images == []


def test_other_figure_files_are_refused(write):
    with pytest.raises(
        ValueError, match=r"figure any_width_networks\.figure5: .*x\.pdf cannot be put into the report \(allowed: .svg"
    ):
        write(figures={"any_width_networks.figure5": Path("x.pdf")})


def test_order_counts_pairs_and_says_how_far_the_reversed_ones_lie_apart(study):
    # Paper: AWN 90.91, S-Net 50.97, US-Net(10w) 91.98. Ours puts AWN a point above US-Net(10w).
    [order] = orders(table2(study, evaluations()), TOP1)
    assert (order.agree, order.pairs, order.best, order.paper_best) == (2, 3, "AWN", "US-Net(10w)")
    assert order.reversed_pairs == ["AWN is 1.00 points above US-Net(10w) (paper: 1.07 below)"]


def test_order_by_a_metric_of_which_less_is_better_in_its_own_unit(study):
    """The same numbers: the paper's best is now the smallest."""
    [order] = orders(table2(study, evaluations()), replace(TOP1, unit="dB", higher_is_better=False))
    assert (order.agree, order.pairs, order.best, order.paper_best) == (2, 3, "S-Net", "S-Net")
    assert order.reversed_pairs == ["US-Net(10w) is 1.00 dB below AWN (paper: 1.07 above)"]


def test_order_needs_two_methods_with_numbers(study):
    one = evaluations({("awn", "as_trained"): 90.0})
    assert orders(table2(study, one), TOP1) == []


def test_worst_drift_is_the_layer_with_the_largest_mean_over_seeds():
    drifts = [("bn1", None, 0, 0.2), ("bn1", None, 1, 0.6), ("bn2", None, 0, 0.5), ("bn2", 0.5, 0, 9.0)]
    rows = [
        cell("awn") | {"layer": layer, "width_mult": width, "seed": seed, "drift": drift}
        for layer, width, seed, drift in drifts
    ]
    [worst] = worst_drift(table("bn_drift", rows)).to_dict("records")
    assert (worst["layer"], worst["drift"]) == ("bn2", 0.5)


def test_model_sizes_are_relative_to_one_set_of_statistics():
    sizes = model_sizes(evaluations(), table("runs", [run(method) for method in LABELS]), PAPER).set_index("label")
    assert sizes["extra_pct"].tolist() == pytest.approx([0, 3, 9])
    assert sizes["paper_extra_pct"].fillna(-1).tolist() == [-1, -1, 9]


def test_model_sizes_count_each_seed_of_a_method_once():
    runs = table("runs", [run("awn"), run("awn", seed=1)])
    twice = pd.concat([evaluations({("awn", "as_trained"): 90.0}).assign(seed=seed) for seed in (0, 1)])
    assert model_sizes(twice, runs, PAPER)["score"].tolist() == [90.0]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 00 min"), (11_100, "3 h 05 min")],
)
def test_durations(seconds, expected):
    assert format_time(seconds) == expected
