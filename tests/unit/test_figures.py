"""Figures: what is drawn, what is said about holes, and files that do not change from run to run."""

import json
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig, renderer_of
from awnlib.results.style import save_figure, style_of
from awnlib.settings import ConfigError
from awnlib.tasks import task_metrics
from awnlib.training.methods import load_methods

TOP1 = task_metrics("classification")[0]
METHODS = load_methods({"mine": {"base": "awn", "label": "Mine"}, "other": {"base": "s_net", "label": "Other"}})
WIDTHS = [0.25, 0.5, 0.75, 1.0]


def draw(name, *methods, tables, datasets=("cifar10",), settings=METHODS):
    """Draw a figure of the paper; tables that are not given are empty."""
    panels = [PanelConfig(model="lenet_3c1l", dataset=dataset) for dataset in datasets]
    exhibit = Exhibit(f"any_width_networks.{name}", TOP1, panels, list(methods), settings)
    return renderer_of(exhibit.name).draw(exhibit, {name: table(name, []) for name in TABLES} | tables)


def cell(method, label=None, **values):
    return {"dataset": "cifar10", "model": "lenet_3c1l", "method": method, "label": label or METHODS[method].label} | (
        values
    )


def table(name, rows):
    return pd.DataFrame(rows, columns=TABLES[name].names)


def sweep(method, widths=WIDTHS, switches=None, variant="as_trained", label=None, seeds=(0, 1)):
    """Return a line through 40 % and 70 %, seed 1 two points above seed 0."""
    return [
        cell(
            method,
            label,
            variant=variant,
            seed=seed,
            width_mult=width,
            switch_width_mult=min((s for s in switches if s >= width), default=None) if switches else None,
            test_set="test",
            metric="top1_pct",
            score=30 + 40 * width + 2 * seed,
            macs=int(1e6 * width**2),
        )
        for seed in seeds
        for width in widths
    ]


def evaluation(method, *aucs, variant="as_trained"):
    names = {"test_set": "test", "metric": "top1_pct", "variant": variant, "state": "ok"}
    return [cell(method, **names, seed=seed, score=auc) for seed, auc in enumerate(aucs)]


def legend_texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def lines_with_data(axes):
    return [line for line in axes.lines if len(line.get_xdata())]


@pytest.fixture
def curves():
    sweeps = [
        *sweep("awn"),
        *sweep("s_net", [0.25, 0.3, 0.5, 1.0], switches=[0.25, 0.5, 1.0]),
        *sweep("us_net", switches=[0.25, 1.0], variant="recal4", label="US-Net(4w)"),
        *sweep("i_net"),
    ]
    evaluations = [*evaluation("awn", 56, 58), *evaluation("us_net", 50.0, variant="recal4")]
    return {"sweep": table("sweep", sweeps), "evaluations": table("evaluations", evaluations)}


def test_figure5_draws_means_with_bands_and_names_the_auc(curves):
    figure = draw("figure5", "awn", "s_net", "us_net", "i_net", tables=curves)
    [axes] = figure.axes
    assert legend_texts(axes) == ["AWN  57.00", "S-Net", "US-Net(4w)  50.00", "I-Net"]
    awn = axes.lines[0]
    assert awn.get_xdata().tolist() == WIDTHS
    assert awn.get_ydata() == pytest.approx([41, 51, 61, 71])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((40, 72))
    assert axes.get_xlabel() == "width (fraction of full width)"
    assert axes.get_ylabel() == "test accuracy (%)"


def test_markers_sit_where_statistics_belong_and_individual_networks_are_points(curves):
    [axes] = draw("figure5", "s_net", "i_net", tables=curves).axes
    line, marks, points = lines_with_data(axes)
    assert line.get_linestyle() == "-"
    assert marks.get_xdata().tolist() == [0.25, 0.5, 1.0]
    assert (marks.get_linestyle(), points.get_linestyle()) == ("None", "None")


def test_over_macs_the_curve_is_the_same(curves):
    [axes] = draw("figure5_macs", "awn", tables=curves).axes
    assert axes.lines[0].get_xdata().tolist() == [62500, 250000, 562500, 1000000]
    assert axes.lines[0].get_ydata() == pytest.approx([41, 51, 61, 71])
    assert "multiply-adds" in axes.get_xlabel()


def test_figure4_orders_and_names_by_the_number_of_trained_widths():
    names = ["awn", "awn_2w", "full_width_triangular"]
    numbers = dict(zip(names, (4, 2, 1), strict=True))
    sweeps = table("sweep", [row for name in names for row in sweep(name)])
    runs = table("runs", [cell(name, seed=0, num_widths=number) for name, number in numbers.items()])
    tables = {"sweep": sweeps, "evaluations": table("evaluations", evaluation("awn", 60.0)), "runs": runs}
    figure = draw("figure4", *names, tables=tables)
    assert legend_texts(figure.axes[0]) == ["TriConv(1w)", "TriConv(2w)", "TriConv(4w)  60.00"]


def test_figure6_puts_the_papers_auc_beside_ours():
    sweeps = table("sweep", [*sweep("full_width_dense"), *sweep("full_width_triangular")])
    evaluations = table("evaluations", [*evaluation("full_width_dense", 21), *evaluation("full_width_triangular", 36)])
    tables = {"sweep": sweeps, "evaluations": evaluations}
    figure = draw("figure6", "full_width_dense", "full_width_triangular", tables=tables)
    expected = ["dense  21.00 (paper 20.51)", "triangular  36.00 (paper 35.85)"]
    assert legend_texts(figure.axes[0]) == expected


def test_a_missing_method_is_named_and_an_empty_panel_says_so(curves):
    figure = draw("figure5", "awn", "shared_bn", datasets=("cifar10", "cifar100"), tables=curves)
    assert len(figure.axes) == 2
    assert "no results" in texts(figure)
    note = " ".join(figure.get_supxlabel().split())
    assert note == "missing: Standard BN (LeNet-3C1L, CIFAR-10)"


def test_nothing_at_all_still_gives_every_figure(tmp_path):
    for name in ("figure2", "figure4", "figure5", "figure5_macs", "figure6"):
        figure = draw(name, "awn", "s_net", tables={})
        assert "no results" in texts(figure)
        save_figure(figure, tmp_path / "figure")


def statistics(method, offsets, seed=0, steps=range(5)):
    """Return channel 1's means apart by ``offsets`` between the widths, channel 0's equal."""
    return [
        cell(
            method,
            seed=seed,
            layer="bn3",
            step=step,
            width_mult=width,
            channel=channel,
            batch_mean=step + channel * offset,
            batch_var=1.0,
            running_mean=step / 2,
            running_var=1.0,
        )
        for step in steps
        for width, offset in zip((1.0, 0.5), offsets, strict=True)
        for channel in (0, 1)
    ]


def test_figure2_shows_the_worst_channel_and_the_shared_statistic():
    rows = [*statistics("shared_bn", (0.0, 3.0)), *statistics("shared_bn", (9.0, 0.0), seed=1)]
    rows += statistics("s_net", (0.0, -2.0))
    figure = draw("figure2", "shared_bn", "s_net", tables={"bn_statistics": table("bn_statistics", rows)})
    shared, switchable = figure.axes[:2]
    assert [line.get_ydata().tolist() for line in shared.lines] == [
        [0, 1, 2, 3, 4],
        [3, 4, 5, 6, 7],
        [0, 0.5, 1, 1.5, 2],
    ]
    assert [line.get_label() for line in shared.lines] == ["width 1", "width 0.5", "shared"]
    assert [line.get_label() for line in switchable.lines] == ["width 1", "width 0.5"]
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["Standard BN", "S-Net"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["mean of a feature", "", "variance of a feature", ""]


def test_figure2_leaves_out_widths_that_do_not_occur_in_every_step():
    rows = statistics("awn_rs", (0.0, 0.0))
    rows = [row for row in rows if row["width_mult"] == 1.0 or row["step"] == 2]
    figure = draw("figure2", "awn_rs", tables={"bn_statistics": table("bn_statistics", rows)})
    assert [line.get_label() for line in figure.axes[0].lines] == ["width 1", "shared"]


def test_files_are_complete_and_the_same_every_time(tmp_path, curves):
    for name in ("a", "b"):
        save_figure(draw("figure5", "awn", "s_net", tables=curves), tmp_path / "new" / name)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"new/a.{suffix}").read_bytes() == (tmp_path / f"new/b.{suffix}").read_bytes()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]
    svg = tmp_path / "new" / "a.svg"
    assert ET.parse(svg).getroot().tag.endswith("svg")
    assert "<dc:date>" not in svg.read_text()


def test_drawing_leaves_no_open_figure_and_no_changed_setting(curves):
    before = dict(mpl.rcParams)
    draw("figure5", "awn", tables=curves)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_every_built_in_method_has_a_style_and_new_ones_get_their_own():
    assert all(method.look.color for method in load_methods().values())
    styles = [style_of(METHODS, name, "as_trained") for name in METHODS]
    assert len({style.color for style in styles}) == len(METHODS) == len(load_methods()) + 2
    assert all(re.fullmatch(r"#[0-9a-f]{6}", style.color) for style in styles)


def test_a_row_has_its_own_look_and_not_that_of_the_row_it_starts_from():
    methods = load_methods({"mine": {"base": "awn", "label": "x", "look": {"color": "#123456", "line": "dotted"}}})
    style = style_of(methods, "mine", "as_trained")
    assert (style.color, style.linestyle, style.marker) == ("#123456", (0, (1, 1)), "o")
    assert style_of(METHODS, "awn", "as_trained").color != style_of(METHODS, "mine", "as_trained").color
    with pytest.raises(ConfigError, match=r"methods\.mine\.look\.color: .*found 'red'"):
        load_methods({"mine": {"base": "awn", "label": "x", "look": {"color": "red"}}})


def test_variants_of_a_method_differ_in_line_marker_and_shade():
    styles = [style_of(METHODS, "us_net", f"recal{points}") for points in (4, 10, 20)]
    for values in zip(*((style.color, style.linestyle, style.marker) for style in styles), strict=True):
        assert len(set(values)) == 3
    lightness = [np.mean(mpl.colors.to_rgb(style.color)) for style in styles]
    assert lightness == sorted(lightness, reverse=True)


def test_variants_of_equally_many_widths_are_drawn_apart():
    rows = [4, {"widths": 4, "averaging": "moving"}, {"widths": 4, "num_images": 512}]
    methods = load_methods({"us_net": {"recalibration": rows}})
    labels = {"recal4": "US-Net(4w)", "recal4-moving": "US-Net(4w, moving)", "recal4-512": "US-Net(4w, 512 images)"}
    swept = [row for variant, label in labels.items() for row in sweep("us_net", variant=variant, label=label)]
    [axes] = draw("figure5", "us_net", tables={"sweep": table("sweep", swept)}, settings=methods).axes
    assert legend_texts(axes) == [labels[name] for name in ("recal4", "recal4-512", "recal4-moving")]
    assert len({line.get_color() for line in lines_with_data(axes)}) == 3
    styles = [style_of(methods, "us_net", variant) for variant in labels]
    assert len({style.linestyle for style in styles}) == len({style.marker for style in styles}) == 3


def shown(*methods, settings=METHODS, name="figure5"):
    panel = PanelConfig(model="lenet_3c1l", dataset="mine", paper_dataset="cifar10")
    return Exhibit(f"any_width_networks.{name}", TOP1, [panel], list(methods), settings).shown()


def test_what_a_figure_shows_is_plain_data_with_titles_words_and_looks():
    found = shown("awn", "s_net")
    assert found["titles"] == {"lenet_3c1l": "LeNet-3C1L", "mine": "mine", "cifar10": "CIFAR-10"}
    assert found["metric"]["axis_label"] == "test accuracy (%)"
    assert found["looks"]["own"]["s_net"] == {"color": "#d55e00", "line": None, "marker": "s"}
    assert list(found["looks"]["own"]) == ["awn", "s_net"]
    assert json.loads(json.dumps(found)) == found


def test_a_look_belongs_to_the_figures_that_show_it():
    gray = load_methods({"s_net": {"look": {"color": "#777777"}}})
    assert shown("awn") == shown("awn", settings=gray)
    assert shown("s_net") != shown("s_net", settings=gray)
    assert shown("s_net", name="table2") == shown("s_net", settings=gray, name="table2")


def test_methods_without_a_colour_depend_on_each_other():
    """They share out what is left: one more changes the colours of all."""
    one, two = (load_methods({name: {"base": "awn"} for name in names}) for names in (["b"], ["a", "b"]))
    assert style_of(one, "b", "as_trained") != style_of(two, "b", "as_trained")
    assert shown("b", settings=one) != shown("b", settings=two)
    assert shown("awn", settings=one) == shown("awn", settings=two)
