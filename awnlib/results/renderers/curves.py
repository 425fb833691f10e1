"""Curves over the width or the cost: how good a network is at every width."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MultipleLocator
from pydantic import Field

from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.style import LINE, MACS_LABEL, WIDTH_LABEL, canvas, note_missing, say_empty, style_of, theme
from awnlib.results.titles import panel_title
from awnlib.results.variants import in_order
from awnlib.settings import Settings
from awnlib.training.methods import Method

NEEDS = ("sweep", "evaluations", "runs")
MAX_COLUMNS = 3
SIZE = (3.4, 3.7)  # inches of one panel with its legend
WIDE_SIZE = (4.6, 3.6)  # inches of a figure with one panel


@dataclass(frozen=True)
class Curve:
    """One evaluation of a panel over all seeds."""

    panel: PanelConfig
    method: str
    variant: str
    label: str
    points: pd.DataFrame  # rows of the table "sweep"
    score: float | None  # summary over the widths, mean over seeds


class Options(Settings):
    """How the curves are drawn."""

    over: Literal["width_mult", "macs"] = Field(default="width_mult", description="the horizontal axis")
    by_trained_widths: str | None = Field(
        default=None, description="order and name methods by how many widths were trained: this word and their number"
    )
    paper_numbers: bool = Field(default=False, description="put the paper's number beside ours in the legend")


Legend = Callable[[Curve], str]


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw one subplot for each panel, with its own legend below.

    Lines are means over seeds, bands reach from the lowest to the highest seed. Markers sit where a network of N widths
    was trained or recalibrated; individually trained networks are unconnected points.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's tables `sweep`, `evaluations` and `runs`; may be empty.
    """
    options = exhibit.options(Options)
    num_widths = tables["runs"].groupby("method")["num_widths"].max().to_dict()
    methods = exhibit.methods
    if options.by_trained_widths:
        methods = sorted(methods, key=lambda method: num_widths.get(method, 0))
    legend = partial(_legend, exhibit, num_widths)
    columns = min(MAX_COLUMNS, len(exhibit.panels))
    missing: list[tuple[PanelConfig, str]] = []
    with theme():
        rows = -(-len(exhibit.panels) // columns)
        figure, grid = canvas(rows, columns, WIDE_SIZE if columns == 1 else SIZE)
        cells = [axes for row in grid for axes in row]
        for axes, panel in zip(cells, exhibit.panels, strict=False):
            curves, absent = _curves(exhibit, panel, methods, tables)
            _draw_panel(axes, exhibit, panel, curves, legend, options.over)
            missing += [(panel, method) for method in absent if curves]  # empty axes speak for themselves
        for axes in cells[len(exhibit.panels) :]:
            axes.remove()
        note_missing(figure, exhibit.settings, missing)
    return figure


def _legend(exhibit: Exhibit, num_widths: Mapping[Hashable, int], curve: Curve) -> str:
    """Return what the legend says of a curve, with its summary over the widths and perhaps the paper's."""
    options = exhibit.options(Options)
    numbered = options.by_trained_widths and curve.method in num_widths
    name = f"{options.by_trained_widths}({num_widths[curve.method]}w)" if numbered else curve.label
    if options.over == "macs" or curve.score is None:
        return name
    paper = _paper_number(exhibit, curve) if options.paper_numbers else None
    return f"{name}  {curve.score:.2f}" + ("" if paper is None else f" (paper {paper:.2f})")


def _paper_number(exhibit: Exhibit, curve: Curve) -> float | None:
    return exhibit.paper.value(
        exhibit.short_name,
        dataset=curve.panel.paper_dataset or curve.panel.dataset,
        test_set=curve.panel.test_set,
        model=curve.panel.model,
        method=curve.method,
        variant=curve.variant,
        metric=exhibit.metric.name,
    )


def _curves(
    exhibit: Exhibit, panel: PanelConfig, names: list[str], tables: Mapping[str, pd.DataFrame]
) -> tuple[list[Curve], list[str]]:
    """Return the curves of one panel in order, and the methods without one."""
    curves: list[Curve] = []
    sweeps, evaluations = (exhibit.rows_of(tables[name], panel) for name in ("sweep", "evaluations"))
    for name in names:
        swept, evaluated = sweeps[sweeps["method"] == name], evaluations[evaluations["method"] == name]
        for variant in in_order(swept["variant"].unique()):
            points = swept[swept["variant"] == variant].sort_values(["width_mult", "seed"])
            score = evaluated.loc[evaluated["variant"] == variant, "score"].astype(float).mean()
            label = str(points["label"].iloc[0])
            curves.append(Curve(panel, name, variant, label, points, None if pd.isna(score) else float(score)))
    found = {curve.method for curve in curves}
    return curves, [name for name in names if name not in found]


def _draw_panel(
    axes: Axes, exhibit: Exhibit, panel: PanelConfig, curves: list[Curve], legend: Legend, over: str
) -> None:
    axes.set_title(panel_title(panel.model, panel.dataset, panel.test_set))
    if not curves:
        say_empty(axes)
        return
    for curve in curves:
        _draw(axes, curve, exhibit.settings, legend(curve), over)
    axes.set_xlabel(WIDTH_LABEL if over == "width_mult" else MACS_LABEL)
    axes.set_ylabel(exhibit.metric.axis_label)
    if over == "width_mult":
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    columns = 2 if len(curves) > 2 else 1
    scored = over == "width_mult" and any(curve.score is not None for curve in curves)
    title = f"area under the curve (AUC, {exhibit.metric.unit})" if scored else None
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.4, ncols=columns, title=title)


def _draw(axes: Axes, curve: Curve, methods: Mapping[str, Method], label: str, over: str) -> None:
    style = style_of(methods, curve.method, curve.variant)
    mean = curve.points.groupby("width_mult")[[over, "score"]].mean()
    marks: dict[str, Any] = {"color": style.color, "marker": style.marker, "linestyle": "none"}
    if methods[curve.method].individual:
        axes.plot(mean[over], mean["score"], label=label, markersize=5, **marks)
        return
    # Markers are drawn by a second call: seaborn would put one at every point of the grid.
    sns.lineplot(
        curve.points,
        x=over,
        y="score",
        errorbar=("pi", 100),
        err_kws={"alpha": 0.15, "linewidth": 0},
        color=style.color,
        linestyle=style.linestyle,
        linewidth=LINE,
        ax=axes,
    )
    line = axes.lines[-1]
    own = _with_own_statistics(curve.points)
    if own:
        kept = mean.loc[own]
        axes.plot(kept[over], kept["score"], markersize=3.2, **marks)
        line.set(marker=style.marker, markersize=3.2, markeredgecolor=style.color, markevery=[])
    line.set_label(label)


def _with_own_statistics(points: pd.DataFrame) -> list[float]:
    """Return the widths that have BN statistics of their own."""
    gap = (points["switch_width_mult"].astype(float) - points["width_mult"]).abs()
    return sorted(points.loc[gap < 1e-9, "width_mult"].unique())
