"""BN statistics at each width over the course of training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.style import canvas, say_empty, theme
from awnlib.results.titles import panel_title
from awnlib.settings import Settings
from awnlib.training.methods import Method

NEEDS = ("bn_statistics",)
SIZE = (2.7, 2.25)  # inches of one subplot
ROWS = (("batch_mean", "running_mean", "mean"), ("batch_var", "running_var", "variance"))


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw means and variances of one feature at each width.

    Two rows for each panel, a column for each method; the black dashed line is what a norm layer shared by all
    widths has stored. Each column shows its network's worst feature: of the channels that all widths keep, the one
    whose means differ most between the widths, in standard deviations. (A mean over channels would hide differences
    of opposite sign, and features of separate networks do not correspond.) The first seed is shown, and the widths
    that were trained in every recorded step. Wide widths are drawn thick, so that equal lines stay visible.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `bn_statistics`; may be empty.

    References
    ----------
    Any-Width Networks, figure 2.
    """
    with theme():
        figure, grid = canvas(2 * len(exhibit.panels), len(exhibit.methods), SIZE)
        for index, panel in enumerate(exhibit.panels):
            upper, lower = grid[2 * index : 2 * index + 2]
            for name, top, bottom in zip(exhibit.methods, upper, lower, strict=True):
                rows = _worst_channel(_every_step(_of_one_seed(tables["bn_statistics"], panel, name)))
                _draw_column((top, bottom), rows, exhibit.settings[name])
            _label_rows(upper[0], lower[0], panel, several=len(exhibit.panels) > 1)
        _add_legend(figure, grid)
    return figure


def _of_one_seed(frame: pd.DataFrame, panel: PanelConfig, method: str) -> pd.DataFrame:
    rows = frame.query("dataset == @panel.dataset and model == @panel.model and method == @method")
    first: pd.DataFrame = rows[rows["seed"] == rows["seed"].min()]
    return first


def _every_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the widths that were recorded at every step: random ones come and go."""
    steps = rows.groupby("width_mult")["step"].nunique()
    return rows.loc[rows["width_mult"].isin(steps[steps == rows["step"].nunique()].index)]


def _worst_channel(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the channel whose mean differs most between widths, relative to its standard deviation.

    Of equal channels the one that varies most: for a triangular network, where all differences are rounding errors,
    it shows a feature that is alive.
    """
    if rows.empty:
        return rows
    means = rows.groupby(["channel", "width_mult"])["batch_mean"].mean().groupby("channel")
    variance = rows.groupby("channel")["batch_var"].mean()
    spread = (means.max() - means.min()) / np.sqrt(variance.clip(lower=1e-12))
    ranking = pd.DataFrame({"spread": spread.round(3), "variance": variance}).sort_values(["spread", "variance"])
    worst: pd.DataFrame = rows[rows["channel"] == ranking.index[-1]]
    return worst


def _draw_column(axes: tuple[Axes, Axes], rows: pd.DataFrame, method: Method) -> None:
    axes[0].set_title(method.label)
    if rows.empty:
        for part in axes:
            say_empty(part)
        return
    widths = sorted(rows["width_mult"].unique(), reverse=True)
    colors = sns.color_palette("viridis", len(widths))
    lines = np.linspace(2.8, 0.8, len(widths)) if len(widths) > 1 else [1.4]
    for part, (batch, running, _) in zip(axes, ROWS, strict=True):
        for width, color, linewidth in zip(widths, colors, lines, strict=True):
            line = rows[rows["width_mult"] == width].sort_values("step")
            part.plot(line["step"], line[batch], color=color, linewidth=linewidth, label=f"width {width:g}")
        if method.norm == "shared":
            stored = rows.groupby("step")[running].mean()
            part.plot(stored.index, stored, color="black", linewidth=1, linestyle=(0, (3, 2)), label="shared")
    axes[0].tick_params(labelbottom=False)
    axes[1].set_xlabel("iteration")


def _label_rows(upper: Axes, lower: Axes, panel: PanelConfig, *, several: bool) -> None:
    where = f"{panel_title(panel.model, panel.dataset)}\n" if several else ""
    for axes, (_, _, name) in zip((upper, lower), ROWS, strict=True):
        axes.set_ylabel(f"{where}{name} of a feature")


def _add_legend(figure: Figure, grid: list[list[Axes]]) -> None:
    """Name every line once, above all subplots."""
    entries = {
        label: handle
        for row in grid
        for axes in row
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        shared = entries.pop("shared", None)
        entries |= {"shared by all widths": shared} if shared else {}
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=min(len(entries), 6))
