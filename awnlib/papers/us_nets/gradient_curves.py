"""Gradients of the widths' losses over the course of training: their norms, and the cosines between them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.style import canvas, note_missing, same_scale, say_empty, theme
from awnlib.results.titles import panel_title
from awnlib.settings import Settings

NEEDS = ("gradients",)
SIZE = (3.2, 2.3)  # inches of one subplot


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw two rows for each panel, norms above cosines, with a column for each method.

    Lines are means over the seeds, bands reach from the lowest to the highest. A norm is over all parameters that its
    width uses; a cosine is over those that both of its widths use (`awnlib.training.gradients.GradientTracker`).

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `gradients`; may be empty.
    """
    missing: list[tuple[PanelConfig, str]] = []
    with theme():
        figure, grid = canvas(2 * len(exhibit.panels), len(exhibit.methods), SIZE)
        for index, panel in enumerate(exhibit.panels):
            here = exhibit.rows_of(tables["gradients"], panel)
            upper, lower = grid[2 * index : 2 * index + 2]
            for method, top, bottom in zip(exhibit.methods, upper, lower, strict=True):
                top.set_title(exhibit.settings[method].label)
                _draw_column(top, bottom, here[here["method"] == method])
            missing += [(panel, one) for one in exhibit.methods if len(here) and one not in set(here["method"])]
            where = f"{panel_title(panel.model, panel.dataset)}\n" if len(exhibit.panels) > 1 else ""
            upper[0].set_ylabel(f"{where}norm of the gradient")
            lower[0].set_ylabel(f"{where}cosine of two gradients")
        for row in grid:
            same_scale(row)
        for row in grid[:2]:
            _add_legend(row)
        note_missing(figure, exhibit.settings, missing)
    return figure


def _draw_column(top: Axes, bottom: Axes, rows: pd.DataFrame) -> None:
    if rows.empty:
        say_empty(top)
        say_empty(bottom)
        return
    alone = rows["other_width_mult"].isna()
    _draw_lines(top, rows[alone], "norm", "viridis")
    _draw_lines(bottom, rows[~alone], "cosine", "plasma")
    top.tick_params(labelbottom=False)
    bottom.set_xlabel("iteration")


def _draw_lines(axes: Axes, rows: pd.DataFrame, column: str, palette: str) -> None:
    pairs = zip(rows["width_mult"], rows["other_width_mult"], strict=True)
    names = [f"width {width:g}" if pd.isna(other) else f"{width:g} and {other:g}" for width, other in pairs]
    lines = list(dict.fromkeys(names))
    sns.lineplot(
        rows.astype({column: float}).assign(line=names),
        x="step",
        y=column,
        hue="line",
        hue_order=lines,
        palette=sns.color_palette(palette, len(lines)),
        errorbar=("pi", 100),
        err_kws={"alpha": 0.15, "linewidth": 0},
        linewidth=1.1,
        ax=axes,
    )
    axes.set(xlabel="", ylabel="")


def _add_legend(row: list[Axes]) -> None:
    """Name the lines of a row once, right of its last subplot with any."""
    for axes in row:
        if (legend := axes.get_legend()) is not None:
            legend.remove()
    drawn = [axes for axes in row if axes.get_legend_handles_labels()[0]]
    if drawn:
        row[-1].legend(*drawn[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5))
