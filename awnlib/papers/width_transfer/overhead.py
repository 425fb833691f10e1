"""Accuracy over how much of the direct search's overhead was saved: a panel for each axis of some kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from awnlib.papers.width_transfer.drawing import draw_panels, style_of
from awnlib.results.exhibits import Exhibit
from awnlib.results.style import ACCURACY_LABEL, DASHED, DOTTED, GREY, LINE, Style, say_empty
from awnlib.results.titles import panel_title
from awnlib.settings import Settings
from awnlib.studies.transfer.cells import NONE, UNIFORM, configuration_title

NEEDS = ("transfer",)
SIZE = (3.4, 3.4)  # inches of a panel
SAVED_LABEL = "width optimisation overhead saved (%)"
STACKINGS: dict[str, tuple[Any, str | None]] = {
    NONE: ("-", None),
    "average_block": ("-", None),
    "last_block": (DASHED, "x"),
}
"""Line style, and marker in place of the optimiser's."""


class Options(Settings):
    """Which axes are shown."""

    kinds: list[str] = Field(min_length=1, description="kinds of axes: width, depth, stacking, resolution, ...")


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a panel for each axis of the kinds that the exhibit's row names, in the row's order; several are named.

    Parameters
    ----------
    exhibit
        Names the kinds.
    tables
        The study's table `transfer`; may be empty.

    References
    ----------
    Width Transfer, figures 3 to 6.
    """
    transfer, kinds = tables["transfer"], exhibit.options(Options).kinds
    parts = [transfer[transfer["kind"] == kind] for kind in kinds]
    return draw_panels(pd.concat(parts), ["axis"], partial(_draw_axis, several=len(kinds) > 1), SIZE)


def _draw_axis(axes: Axes, rows: pd.DataFrame, *, several: bool) -> None:
    """Draw accuracy over the overhead saved: a line for each optimiser and stacking, direct optimisation leftmost.

    Bands reach from the lowest to the highest seed. Horizontal lines are the baseline and, dotted, widths of a search
    that sees no image and costs nothing.
    """
    first = rows.iloc[0]
    kind = f" ({first['kind']})" if several else ""
    axes.set_title(f"{panel_title(first['model'], first['dataset'])}\n{configuration_title(first['target'])}{kind}")
    rows = rows.astype({"test_top1_pct": float, "overhead_saved_pct": float})
    found = rows[rows["test_top1_pct"].notna()]
    if found.empty:
        say_empty(axes)
        return
    baseline = found.loc[found["optimizer"] == UNIFORM, "test_top1_pct"]
    if len(baseline):
        axes.axhline(baseline.mean(), color="black", linewidth=LINE, linestyle=DASHED, label="uniform")
        axes.axhspan(baseline.min(), baseline.max(), color="black", alpha=0.08, linewidth=0)
    for label, control in found[found["is_direct"] & (found["search_macs"] == 0)].groupby("label", sort=False):
        top1 = control["test_top1_pct"]
        axes.axhline(top1.mean(), color=GREY, linewidth=LINE, linestyle=DOTTED, label=str(label))
        axes.axhspan(top1.min(), top1.max(), color=GREY, alpha=0.08, linewidth=0)
    optimised = found[(found["optimizer"] != UNIFORM) & found["overhead_saved_pct"].notna()]
    names = list(dict.fromkeys(optimised["optimizer"]))
    for name in names:
        _draw_optimizer(axes, optimised[optimised["optimizer"] == name], style_of(name, names))
    axes.set_xlabel(SAVED_LABEL)
    axes.set_ylabel(ACCURACY_LABEL)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.4, ncols=2)


def _draw_optimizer(axes: Axes, rows: pd.DataFrame, style: Style) -> None:
    """Draw a line for each stacking."""
    stackings = [name for name in dict.fromkeys(rows["extrapolation"]) if name != NONE] or [NONE]
    for stacking in stackings:
        points = rows[rows["extrapolation"].isin([stacking, NONE])]
        label = points["label"].iloc[0] + (f", {stacking.replace('_', ' ')}" if len(stackings) > 1 else "")
        linestyle, marker = STACKINGS[stacking]
        _draw_line(axes, points, replace(style, linestyle=linestyle, marker=marker or style.marker), label)


def _draw_line(axes: Axes, points: pd.DataFrame, style: Style, label: str) -> None:
    sources = points.groupby("source")
    lines = pd.DataFrame(
        {
            "saved": sources["overhead_saved_pct"].mean(),
            "mean": sources["test_top1_pct"].mean(),
            "low": sources["test_top1_pct"].min(),
            "high": sources["test_top1_pct"].max(),
            "is_direct": sources["is_direct"].any(),
        }
    ).sort_values("saved")
    look: dict[str, Any] = {"color": style.color, "linewidth": LINE, "linestyle": style.linestyle}
    axes.plot(lines["saved"], lines["mean"], marker=style.marker, markersize=4, label=label, **look)
    axes.fill_between(lines["saved"], lines["low"], lines["high"], color=style.color, alpha=0.15, linewidth=0)
    direct = lines[lines["is_direct"]]
    axes.plot(direct["saved"], direct["mean"], linestyle="none", marker=style.marker, markersize=8,
              markerfacecolor="none", markeredgecolor=style.color)  # fmt: skip
