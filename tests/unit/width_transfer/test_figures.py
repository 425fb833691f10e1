"""The figures of a width-transfer study: the numbers that are drawn, and what is said about missing ones."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh

from awnlib.papers.width_transfer.cosines import similarity_matrix
from awnlib.papers.width_transfer.drawing import style_of
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, renderer_of
from awnlib.tasks import task_metrics
from tests.unit.width_transfer.transfer_tables import similarity_rows, transfer_rows, widths_rows

TOP1 = task_metrics("classification")[0]
EMPTY = {name: pd.DataFrame(columns=TABLES[name].names) for name in ("transfer", "widths", "similarity")}


def draw(row, **tables):
    """Draw a figure of the paper, from tables that are empty unless they are given."""
    name = f"width_transfer.{row}"
    return renderer_of(name).draw(Exhibit(name, TOP1), EMPTY | tables)


def lines_of(axes):
    """Return x and y of the lines that the legend names."""
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    return {label: (list(line.get_xdata()), list(line.get_ydata())) for label, line in lines.items()}


def test_accuracy_over_the_overhead_saved():
    figure = draw("figure3", transfer=transfer_rows())
    (axes,) = figure.axes
    lines = lines_of(axes)
    assert lines["DMCP"] == ([0.0, 75.0], [75.0, 75.0])
    assert lines["AutoSlim"] == ([0.0], [71.0])
    assert lines["uniform"][1] == [71.0, 71.0]
    assert axes.get_title(loc="left") == "ResNet18, MNIST-5k\n1x wide, 1x deep (width)"
    assert axes.get_legend_handles_labels()[1] == ["uniform", "DMCP", "AutoSlim"]
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in rings] == [(0.0, 75.0), (0.0, 71.0)]


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    figure = draw("figure3", transfer=transfer_rows())
    dmcp = figure.axes[0].collections[0].get_paths()[0].vertices
    for saved, low, high in ((0.0, 74, 76), (75.0, 73, 77)):
        found = dmcp[np.isclose(dmcp[:, 0], saved), 1]
        assert (found.min(), found.max()) == (low, high)


def test_only_axes_of_the_kind_are_panels():
    rows = pd.concat([transfer_rows(), transfer_rows(axis="second"), transfer_rows(axis="data", kind="data")])
    assert len(draw("figure3", transfer=rows).axes) == 2
    assert len(draw("figure5", transfer=rows).axes) == 1


def test_axes_of_two_kinds_are_told_apart_in_the_order_of_the_paper():
    rows = pd.concat([transfer_rows(axis="a", kind="data"), transfer_rows(axis="b", kind="resolution")])
    titles = [axes.get_title(loc="left").splitlines()[1] for axes in draw("figure5", transfer=rows).axes]
    assert titles == ["1x wide, 1x deep (resolution)", "1x wide, 1x deep (data)"]
    (axes,) = draw("figure6", transfer=transfer_rows(kind="compound")).axes
    assert axes.get_title(loc="left").splitlines()[1] == "1x wide, 1x deep"


def test_both_stackings_start_from_direct_optimisation():
    rows = transfer_rows(axis="stacking", kind="stacking")
    rows = rows[rows["optimizer"] != "autoslim"]
    cheap = rows["source_width_mult"] == 0.5
    last = rows[cheap].assign(extrapolation="last_block", test_top1_pct=72.5)
    rows = pd.concat([rows[~cheap], rows[cheap].assign(extrapolation="average_block"), last])
    lines = lines_of(draw("figure4", transfer=rows).axes[0])
    assert lines["DMCP, average block"] == ([0.0, 75.0], [75.0, 75.0])
    assert lines["DMCP, last block"] == ([0.0, 75.0], [75.0, 72.5])


def test_lost_networks_are_named():
    rows = transfer_rows()
    lost = (rows["optimizer"] == "dmcp") & (rows["source_width_mult"] == 0.5) & (rows["seed"] == 1)
    rows.loc[lost, ["state", "test_top1_pct", "overhead_saved_pct"]] = ["failed", np.nan, np.nan]
    figure = draw("figure3", transfer=rows)
    assert lines_of(figure.axes[0])["DMCP"] == ([0.0, 75.0], [75.0, 73.0])
    assert figure.get_supxlabel() == "missing: DMCP from w0.5-d1-s1 (seed 1)"


def test_widths_are_means_over_sources():
    (axes,) = draw("figure_a1", transfer=transfer_rows(), widths=widths_rows()).axes
    lines = lines_of(axes)
    assert lines["DMCP"] == ([0, 1, 2], [0.5, 0.5, 2.0])
    assert lines["uniform"][1] == [1.0, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stage1", "inner1", "stage2"]
    band = axes.collections[0].get_paths()[0].vertices
    last = band[np.isclose(band[:, 0], 2), 1]
    assert (last.min(), last.max()) == pytest.approx((2 - 2**0.5, 2 + 2**0.5))


def test_widths_of_comparisons_are_not_drawn():
    rows = transfer_rows(axis="sets", kind="comparison")
    figure = draw("figure_a1", transfer=rows, widths=widths_rows())
    assert [text.get_text() for text in figure.axes[0].texts] == ["no results"]


def test_similarity_has_its_floor_and_its_ceiling():
    matrix = similarity_matrix(transfer_rows(), similarity_rows())
    dmcp = ["uniform", "DMCP direct", "DMCP 0.5x"]
    assert list(matrix.index) == list(matrix.columns) == [*dmcp, "AutoSlim direct"]
    expected = [[1.0, 0.85, 0.7], [0.85, 0.99, 0.95], [0.7, 0.95, 0.97]]
    assert matrix.loc[dmcp, dmcp].to_numpy() == pytest.approx(np.array(expected))
    assert matrix.loc[dmcp, "AutoSlim direct"].isna().all()


def test_similarity_is_drawn_as_a_heat_map():
    figure = draw("figure_a2", transfer=transfer_rows(), similarity=similarity_rows())
    (mesh,) = [part for part in figure.axes[0].collections if isinstance(part, QuadMesh)]
    assert mesh.get_array().reshape(4, 4)[1, 2] == pytest.approx(0.95)
    assert mesh.get_clim() == (pytest.approx(0.7), 1)


def test_every_optimiser_has_a_style_of_its_own():
    rows = ["dmcp", "autoslim", "morphnet", "one", "two"]
    assert len({style_of(row, rows).color for row in rows}) == 5
