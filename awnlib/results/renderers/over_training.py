"""Curves over the training: how good each width is by then, method by method, and the methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from pydantic import Field

from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.style import DASH_DOTTED, DASHED, DOTTED, LINE, SHORT_DASHED, canvas, note_missing, say_empty, theme
from awnlib.results.titles import panel_title
from awnlib.settings import Settings

NEEDS = ("history",)
SIZE = (3.0, 2.9)  # inches of one subplot
LINES: tuple[Any, ...] = ("-", DASHED, DOTTED, DASH_DOTTED, SHORT_DASHED)
KEY = ["method", "seed", "width_mult", "epoch"]


class Options(Settings):
    """What stands at the horizontal axis."""

    over: str | None = Field(
        default=None, description="a metric that counts what was done by the end of each epoch; null: epochs"
    )
    over_label: str = Field(default="epochs", description="what it is called")


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a row for each panel: a subplot for each method, and one in which they stand beside each other.

    Colours are widths, from the smallest (light) to the largest; in the last subplot lines are methods, of more than
    two of them the ends of the widths. Lines are means over seeds, bands reach from the lowest to the highest seed.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `history`; may be empty.

    References
    ----------
    US-Nets, figure 5.
    """
    options = exhibit.options(Options)
    missing = []
    with theme():
        figure, grid = canvas(len(exhibit.panels), len(exhibit.methods) + 1, SIZE)
        for panel, row in zip(exhibit.panels, grid, strict=True):
            points = _points(exhibit, panel, tables["history"], options)
            colors = _colors(points)
            found = [name for name in exhibit.methods if name in set(points["method"])]
            missing += [(panel, name) for name in exhibit.methods if name not in found and found]
            for axes, name in zip(row, exhibit.methods, strict=False):
                axes.set_title(exhibit.settings[name].label)
                _draw(axes, points[points["method"] == name], colors, "-")
            ends = {width: colors[width] for width in (*list(colors)[:1], *list(colors)[-1:])}
            for name, line in zip(exhibit.methods, LINES * len(exhibit.methods), strict=False):
                shown = colors if len(exhibit.methods) <= 2 else ends
                _draw(row[-1], points[points["method"] == name], shown, line, empty=not found)
            row[-1].set_title("side by side")
            _label(row, exhibit, panel, options, lowest=min(0.0, float(points["score"].min())) if found else 0.0)
            _add_legends(row, exhibit, found, colors)
        note_missing(figure, exhibit.settings, missing)
    return figure


def _points(exhibit: Exhibit, panel: PanelConfig, history: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Return the score of each width at the end of each epoch, `x` beside it."""
    rows = history[(history["dataset"] == panel.dataset) & (history["model"] == panel.model)]
    rows = rows[rows["method"].isin(exhibit.methods) & rows["width_mult"].notna()]
    points = rows[rows["metric"] == exhibit.metric.name]
    if options.over is None:
        return points.assign(x=points["epoch"])
    done = rows[rows["metric"] == options.over]
    return points.merge(done[[*KEY, "score"]].rename(columns={"score": "x"}), on=KEY, how="left")


def _colors(points: pd.DataFrame) -> dict[float, str]:
    """Return a colour for each width, the largest the darkest."""
    widths = sorted(points["width_mult"].astype(float).round(6).unique())
    return dict(zip(widths, sns.color_palette("viridis_r", len(widths) + 1).as_hex()[1:], strict=True))


def _draw(axes: Axes, points: pd.DataFrame, colors: Mapping[float, str], line: Any, *, empty: bool = True) -> None:
    if points.empty:
        if empty and not axes.texts:
            say_empty(axes)
        return
    for width_mult, color in colors.items():
        curve = points[points["width_mult"].astype(float).round(6) == width_mult].astype({"x": float, "score": float})
        if not curve.empty:
            band = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.12, "linewidth": 0}}
            style = {"color": color, "linestyle": line, "linewidth": LINE}
            sns.lineplot(curve, x="x", y="score", ax=axes, legend=False, **band, **style)


def _label(row: list[Axes], exhibit: Exhibit, panel: PanelConfig, options: Options, *, lowest: float) -> None:
    drawn = [axes for axes in row if axes.lines]
    top = max((axes.get_ylim()[1] for axes in drawn), default=1.0)
    for axes in drawn:
        axes.set(ylim=(lowest, top), xlabel=options.over_label, ylabel="")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    row[0].set_ylabel(f"{panel_title(panel.model, panel.dataset)}\n{exhibit.metric.axis_label}")


def _add_legends(row: list[Axes], exhibit: Exhibit, found: list[str], colors: Mapping[float, str]) -> None:
    widths = [Line2D([], [], color=color, label=f"{width:g}x") for width, color in reversed(list(colors.items()))]
    lines = zip(exhibit.methods, LINES * len(exhibit.methods), strict=False)
    methods = [
        Line2D([], [], color="0.2", linestyle=line, label=exhibit.settings[name].label)
        for name, line in lines
        if name in found
    ]
    for axes in row:
        handles = methods if axes is row[-1] else widths
        if axes.lines and handles:
            axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.4, ncols=2)
