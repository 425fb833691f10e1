"""The ratios as dots on one logarithmic axis, a panel for each benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from awnlib.results.style import GREY, LINE, theme

# Marker and colour: the shape alone tells reached from missed.
MARKS = {"reached": ("o", "#0072b2"), "missed": ("X", "#d55e00"), "": ("D", "white")}
ARROWS = {"at most": "$\\leftarrow$", "at least": "$\\rightarrow$"}
ROW_INCHES, PANEL_INCHES, WIDTH_INCHES = 0.18, 0.45, 8.5


def plot(frame: pd.DataFrame) -> Figure:
    """Return each ratio with its quartiles and its target, from a frame of `benchmarks.report.frame_of`."""
    groups = list(frame.groupby("benchmark", sort=False))
    heights = [PANEL_INCHES + ROW_INCHES * len(group) for _, group in groups]
    with theme():
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 1), layout="constrained")
        panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, group) in zip(panels, groups, strict=True):
            _draw(axes, str(name), group)
        _scale(panels[-1])
        handles = [_mark(verdict, label=verdict or "no target") for verdict in MARKS]
        handles += [
            Line2D([], [], linestyle="", marker=arrow, color=GREY, label=kind) for kind, arrow in ARROWS.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def verdict(row: Mapping[Any, Any]) -> str:
    """Return "reached", "missed", or nothing for a ratio without a target here."""
    return "" if pd.isna(row["reached"]) else "reached" if row["reached"] else "missed"


def _draw(axes: Axes, name: str, group: pd.DataFrame) -> None:
    axes.axvline(1, color=GREY, linewidth=0.8)
    for position, row in enumerate(group.to_dict("records")):
        axes.plot([row["ratio_q25"], row["ratio_q75"]], [position] * 2, color=GREY, linewidth=LINE)
        axes.add_line(_mark(verdict(row), [row["ratio"]], [position]))
        if verdict(row):
            side = "right" if row["target_kind"] == "at most" else "left"
            axes.plot(row["target"], position, marker="|", color="black", markersize=10, zorder=3)
            axes.annotate(ARROWS[row["target_kind"]], (row["target"], position), ha=side, va="center")
    axes.set(title=name.replace("_", " "), ylim=(len(group) - 0.5, -0.5))
    axes.set_yticks(range(len(group)), [f"{row.case} / {row.reference}" for row in group.itertuples()])


def _mark(verdict: str, x: list[float] | None = None, y: list[float] | None = None, *, label: str = "") -> Line2D:
    marker, color = MARKS[verdict]
    style = {"linestyle": "", "markeredgecolor": GREY, "markersize": 5, "label": label}
    return Line2D(x or [], y or [], marker=marker, color=color, **style)  # type: ignore[arg-type]


def _scale(axes: Axes) -> None:
    """Give the shared axis a logarithmic scale with plain numbers."""
    axes.set(xscale="log", xlabel="ratio (logarithmic)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
