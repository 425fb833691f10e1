"""The figures of a width-transfer study: the numbers that are drawn, and what is said about missing ones."""

import numpy as np
import pandas as pd
import pytest
from awnlib.papers.width_transfer.figures import draw, similarity_matrix, style_of
from matplotlib.collections import QuadMesh

from awnlib.results.columns import TABLES
from awnlib.results.style import save_figure
from tests.unit.width_transfer.transfer_tables import similarity_rows, transfer_rows, widths_rows

EMPTY = {name: pd.DataFrame(columns=TABLES[name].names) for name in ("transfer", "widths", "similarity")}


def lines_of(axes):
    """Return x and y of the lines that the legend names."""
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    return {label: (list(line.get_xdata()), list(line.get_ydata())) for label, line in lines.items()}


def test_accuracy_over_the_overhead_saved():
    figure = draw("width", **{**EMPTY, "transfer": transfer_rows()})
    (axes,) = figure.axes
    lines = lines_of(axes)
    assert lines["DMCP"] == ([0.0, 75.0], [75.0, 75.0])
    assert lines["AutoSlim"] == ([0.0], [71.0])
    assert lines["uniform"][1] == [71.0, 71.0]
    assert axes.get_title(loc="left") == "ResNet18, MNIST-5k\n1x wide, 1x deep"
    assert axes.get_legend_handles_labels()[1] == ["uniform", "DMCP", "AutoSlim"]
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in rings] == [(0.0, 75.0), (0.0, 71.0)]


def test_bands_reach_from_the_lowest_to_the_highest_seed():
    figure = draw("width", **{**EMPTY, "transfer": transfer_rows()})
    dmcp = figure.axes[0].collections[0].get_paths()[0].vertices
    for saved, low, high in ((0.0, 74, 76), (75.0, 73, 77)):
        found = dmcp[np.isclose(dmcp[:, 0], saved), 1]
        assert (found.min(), found.max()) == (low, high)


def test_only_axes_of_the_kind_are_panels():
    rows = pd.concat([transfer_rows(), transfer_rows(axis="second"), transfer_rows(axis="data", kind="data")])
    assert len(draw("width", **{**EMPTY, "transfer": rows}).axes) == 2
    assert len(draw("data", **{**EMPTY, "transfer": rows}).axes) == 1


def test_both_stackings_start_from_direct_optimisation():
    rows = transfer_rows(axis="stacking", kind="stacking")
    rows = rows[rows["optimizer"] != "autoslim"]
    cheap = rows["source_width_mult"] == 0.5
    last = rows[cheap].assign(extrapolation="last_block", test_top1_pct=72.5)
    rows = pd.concat([rows[~cheap], rows[cheap].assign(extrapolation="average_block"), last])
    lines = lines_of(draw("stacking", **{**EMPTY, "transfer": rows}).axes[0])
    assert lines["DMCP, average block"] == ([0.0, 75.0], [75.0, 75.0])
    assert lines["DMCP, last block"] == ([0.0, 75.0], [75.0, 72.5])


def test_lost_networks_are_named():
    rows = transfer_rows()
    lost = (rows["optimizer"] == "dmcp") & (rows["source_width_mult"] == 0.5) & (rows["seed"] == 1)
    rows.loc[lost, ["state", "test_top1_pct", "overhead_saved_pct"]] = ["failed", np.nan, np.nan]
    figure = draw("width", **{**EMPTY, "transfer": rows})
    assert lines_of(figure.axes[0])["DMCP"] == ([0.0, 75.0], [75.0, 73.0])
    assert figure.get_supxlabel() == "missing: DMCP from w0.5-d1-s1 (seed 1)"


def test_widths_are_means_over_sources():
    (axes,) = draw("widths", **{**EMPTY, "transfer": transfer_rows(), "widths": widths_rows()}).axes
    lines = lines_of(axes)
    assert lines["DMCP"] == ([0, 1, 2], [0.5, 0.5, 2.0])
    assert lines["uniform"][1] == [1.0, 1.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stage1", "inner1", "stage2"]
    band = axes.collections[0].get_paths()[0].vertices
    last = band[np.isclose(band[:, 0], 2), 1]
    assert (last.min(), last.max()) == pytest.approx((2 - 2**0.5, 2 + 2**0.5))


def test_widths_of_comparisons_are_not_drawn():
    rows = transfer_rows(axis="sets", kind="comparison")
    figure = draw("widths", **{**EMPTY, "transfer": rows, "widths": widths_rows()})
    assert [text.get_text() for text in figure.axes[0].texts] == ["no results"]


def test_similarity_has_its_floor_and_its_ceiling():
    matrix = similarity_matrix(transfer_rows(), similarity_rows())
    dmcp = ["uniform", "DMCP direct", "DMCP 0.5x"]
    assert list(matrix.index) == list(matrix.columns) == [*dmcp, "AutoSlim direct"]
    expected = [[1.0, 0.85, 0.7], [0.85, 0.99, 0.95], [0.7, 0.95, 0.97]]
    assert matrix.loc[dmcp, dmcp].to_numpy() == pytest.approx(np.array(expected))
    assert matrix.loc[dmcp, "AutoSlim direct"].isna().all()


def test_similarity_is_drawn_as_a_heat_map():
    figure = draw("similarity", **{**EMPTY, "transfer": transfer_rows(), "similarity": similarity_rows()})
    (mesh,) = [part for part in figure.axes[0].collections if isinstance(part, QuadMesh)]
    assert mesh.get_array().reshape(4, 4)[1, 2] == pytest.approx(0.95)
    assert mesh.get_clim() == (pytest.approx(0.7), 1)


@pytest.mark.parametrize("name", ["width", "depth", "compound", "widths", "similarity"])
def test_nothing_to_draw_is_said(name, tmp_path):
    figure = draw(name, **EMPTY)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["no results"]
    save_figure(figure, tmp_path / name)
    assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_every_optimiser_has_a_style_of_its_own():
    rows = ["dmcp", "autoslim", "morphnet", "one", "two"]
    assert len({style_of(row, rows).color for row in rows}) == 5


def test_an_unknown_figure_is_refused():
    with pytest.raises(ValueError, match="no figure is called 'figure7' \\(allowed: width, depth"):
        draw("figure7", **EMPTY)
