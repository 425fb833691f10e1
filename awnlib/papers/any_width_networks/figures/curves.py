"""Width-accuracy curves: figures 4, 5 and 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MultipleLocator

from awnlib.results.exhibits import ExhibitConfig, PanelConfig
from awnlib.results.paper_values import paper_value
from awnlib.results.style import ACCURACY_LABEL, LINE, WIDTH_LABEL, canvas, note_missing, say_empty, style_of, theme
from awnlib.results.titles import panel_title
from awnlib.results.variants import recalibration_points
from awnlib.training.methods import Method

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
    auc_pct: float | None  # mean over seeds


Legend = Callable[[Curve], str]


def figure4(
    exhibit: ExhibitConfig,
    methods: Mapping[str, Method],
    sweeps: pd.DataFrame,
    evaluations: pd.DataFrame,
    runs: pd.DataFrame,
) -> Figure:
    """Draw the curves of networks trained at one, two, three, ... widths (the paper's figure 4).

    Parameters
    ----------
    exhibit
        Panels (a subplot each) and methods to show.
    methods
        The study's methods by name.
    sweeps, evaluations, runs
        The study's tables of these names (``sweeps`` is the table "sweep"); may be empty.
    """
    num_widths = runs.groupby("method")["num_widths"].max().to_dict()
    ordered = exhibit.model_copy(
        update={"methods": sorted(exhibit.methods, key=lambda method: num_widths.get(method, 0))}
    )

    def name(curve: Curve) -> str:
        return _with_auc(f"TriConv({num_widths[curve.method]}w)" if curve.method in num_widths else curve.label, curve)

    return _figure(ordered, methods, sweeps, evaluations, legend=name)


def figure5(
    exhibit: ExhibitConfig, methods: Mapping[str, Method], sweeps: pd.DataFrame, evaluations: pd.DataFrame
) -> Figure:
    """Draw the curves of every evaluation (the paper's figure 5); parameters as for ``figure4``.

    Lines are means over seeds, bands reach from the lowest to the highest seed. Markers sit where a network of N
    widths was trained or recalibrated; individually trained networks are unconnected points.
    """
    return _figure(exhibit, methods, sweeps, evaluations, legend=lambda curve: _with_auc(curve.label, curve))


def figure5_macs(
    exhibit: ExhibitConfig, methods: Mapping[str, Method], sweeps: pd.DataFrame, evaluations: pd.DataFrame
) -> Figure:
    """Draw figure 5 over the multiply-adds of one image instead of the width; parameters as for ``figure4``."""
    return _figure(exhibit, methods, sweeps, evaluations, legend=lambda curve: curve.label, over="macs")


def figure6(
    exhibit: ExhibitConfig, methods: Mapping[str, Method], sweeps: pd.DataFrame, evaluations: pd.DataFrame
) -> Figure:
    """Draw networks trained at full width only, then narrowed (the paper's figure 6); parameters as for ``figure4``."""

    def name(curve: Curve) -> str:
        paper = paper_value(
            "figure6",
            dataset=curve.panel.paper_dataset or curve.panel.dataset,
            model=curve.panel.model,
            method=curve.method,
            variant=curve.variant,
            metric="auc_pct",
        )
        return _with_auc(curve.label, curve) + ("" if paper is None else f" (paper {paper:.2f})")

    return _figure(exhibit, methods, sweeps, evaluations, legend=name)


def _figure(
    exhibit: ExhibitConfig,
    methods: Mapping[str, Method],
    sweeps: pd.DataFrame,
    evaluations: pd.DataFrame,
    *,
    legend: Legend,
    over: str = "width_mult",
) -> Figure:
    """Draw one subplot per panel, each with its own legend below."""
    columns = min(MAX_COLUMNS, len(exhibit.panels))
    rows = -(-len(exhibit.panels) // columns)
    missing: list[tuple[PanelConfig, str]] = []
    with theme():
        figure, grid = canvas(rows, columns, WIDE_SIZE if columns == 1 else SIZE)
        cells = [axes for row in grid for axes in row]
        for axes, panel in zip(cells, exhibit.panels, strict=False):
            curves, absent = _curves(panel, exhibit.methods, sweeps, evaluations)
            _draw_panel(axes, panel, curves, methods, legend, over)
            missing += [(panel, method) for method in absent if curves]  # empty axes speak for themselves
        for axes in cells[len(exhibit.panels) :]:
            axes.remove()
        note_missing(figure, methods, missing)
    return figure


def _curves(
    panel: PanelConfig, names: list[str], sweeps: pd.DataFrame, evaluations: pd.DataFrame
) -> tuple[list[Curve], list[str]]:
    """Return the curves of one panel in the exhibit's order, and the methods without one."""
    curves: list[Curve] = []
    here = "dataset == @panel.dataset and model == @panel.model"
    sweeps, evaluations = sweeps.query(here), evaluations.query(here)
    for name in names:
        swept, evaluated = sweeps[sweeps["method"] == name], evaluations[evaluations["method"] == name]
        for variant in sorted(swept["variant"].unique(), key=lambda variant: recalibration_points(variant) or 0):
            points = swept[swept["variant"] == variant].sort_values(["width_mult", "seed"])
            auc = evaluated.loc[evaluated["variant"] == variant, "auc_pct"].astype(float).mean()
            label = str(points["label"].iloc[0])
            curves.append(Curve(panel, name, variant, label, points, None if pd.isna(auc) else float(auc)))
    found = {curve.method for curve in curves}
    return curves, [name for name in names if name not in found]


def _draw_panel(
    axes: Axes,
    panel: PanelConfig,
    curves: list[Curve],
    methods: Mapping[str, Method],
    legend: Legend,
    over: str,
) -> None:
    axes.set_title(panel_title(panel.model, panel.dataset))
    if not curves:
        say_empty(axes)
        return
    for curve in curves:
        _draw(axes, curve, methods, legend(curve), over)
    axes.set_xlabel(WIDTH_LABEL if over == "width_mult" else "multiply-adds per image")
    axes.set_ylabel(ACCURACY_LABEL)
    if over == "width_mult":
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    columns = 2 if len(curves) > 2 else 1
    has_auc = over == "width_mult" and any(curve.auc_pct is not None for curve in curves)
    title = "area under the curve (AUC, %)" if has_auc else None
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.4, ncols=columns, title=title)


def _draw(axes: Axes, curve: Curve, methods: Mapping[str, Method], label: str, over: str) -> None:
    style = style_of(methods, curve.method, curve.variant)
    mean = curve.points.groupby("width_mult")[[over, "test_top1_pct"]].mean()
    marks: dict[str, Any] = {"color": style.color, "marker": style.marker, "linestyle": "none"}
    if methods[curve.method].individual:
        axes.plot(mean[over], mean["test_top1_pct"], label=label, markersize=5, **marks)
        return
    # Markers are drawn by a second call: seaborn would put one at every point of the grid.
    sns.lineplot(
        curve.points,
        x=over,
        y="test_top1_pct",
        errorbar=("pi", 100),
        err_kws={"alpha": 0.15, "linewidth": 0},
        color=style.color,
        linestyle=style.linestyle,
        linewidth=LINE,
        ax=axes,
    )
    line = axes.lines[-1]
    gap = (curve.points["switch_width_mult"].astype(float) - curve.points["width_mult"]).abs()
    own = curve.points.loc[gap < 1e-9, "width_mult"]
    if len(own):
        kept = mean.loc[sorted(own.unique())]
        axes.plot(kept[over], kept["test_top1_pct"], markersize=3.2, **marks)
        line.set(marker=style.marker, markersize=3.2, markeredgecolor=style.color, markevery=[])
    line.set_label(label)


def _with_auc(label: str, curve: Curve) -> str:
    return label if curve.auc_pct is None else f"{label}  {curve.auc_pct:.2f}"
