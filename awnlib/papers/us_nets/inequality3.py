"""The residual error of features over the width that their inputs are summed up to, a line for each layer."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.style import LINE, WIDTH_LABEL, canvas, note_missing, same_scale, say_empty, theme
from awnlib.results.titles import panel_title
from awnlib.settings import Settings

NEEDS = ("residuals",)
SIZE = (2.9, 2.6)  # inches of one subplot


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the relative residual errors of every layer, means over the seeds: a row for each panel, methods across.

    Colours go from the first layer (dark) to the last (light); the black line is the mean over the layers.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `residuals`; may be empty.
    """
    missing: list[tuple[PanelConfig, str]] = []
    with theme():
        figure, grid = canvas(len(exhibit.panels), len(exhibit.methods), SIZE)
        for panel, row in zip(exhibit.panels, grid, strict=True):
            here = exhibit.rows_of(tables["residuals"], panel)
            for method, axes in zip(exhibit.methods, row, strict=True):
                axes.set_title(exhibit.settings[method].label)
                _draw_layers(axes, here[here["method"] == method])
            missing += [(panel, one) for one in exhibit.methods if len(here) and one not in set(here["method"])]
            where = f"{panel_title(panel.model, panel.dataset)}\n" if len(exhibit.panels) > 1 else ""
            same_scale(row)
            row[0].set_ylabel(f"{where}residual error (% of the feature)")
        _add_legend(figure, [axes for row in grid for axes in row])
        note_missing(figure, exhibit.settings, missing)
    return figure


def _draw_layers(axes: Axes, rows: pd.DataFrame) -> None:
    if rows.empty:
        say_empty(axes)
        return
    means = 100 * rows.pivot_table(index="width_mult", columns="layer", values="relative", sort=False).sort_index()
    colors = sns.color_palette("viridis", len(means.columns))
    for index, (layer, color) in enumerate(zip(means.columns, colors, strict=True)):
        label = {0: "first layer", len(colors) - 1: "last layer"}.get(index)
        axes.plot(means.index, means[layer], color=color, linewidth=1, label=label)
    axes.plot(means.index, means.mean(axis=1), color="black", linewidth=LINE, label="mean over the layers")
    axes.set_xlabel(WIDTH_LABEL)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))


def _add_legend(figure: Figure, every: list[Axes]) -> None:
    """Name the lines once, above all subplots."""
    found = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in every]
    entries = {label: handle for pairs in found for handle, label in pairs}
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries))
