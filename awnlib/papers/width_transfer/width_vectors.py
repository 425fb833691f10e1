"""Mean width multipliers over the layers of a network: a panel for each target."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.papers.width_transfer.drawing import draw_panels, style_of
from awnlib.results.exhibits import Exhibit
from awnlib.results.style import DASHED, LINE, say_empty
from awnlib.results.titles import panel_title
from awnlib.settings import Settings
from awnlib.studies.transfer.cells import COMPARISON, UNIFORM, configuration_title

NEEDS = ("transfer", "widths")
SIZE = (6.4, 3.0)  # inches of a panel
TARGET = ["model", "dataset", "target"]
MOST_NAMES = 40  # of dimensions below an axis


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the multipliers of each axis' target.

    Parameters
    ----------
    exhibit
        Has nothing to say.
    tables
        The study's tables `transfer` and `widths`; may be empty.

    References
    ----------
    Width Transfer, figure A1.
    """
    transfer = tables["transfer"]
    shown = transfer.loc[transfer["kind"] != COMPARISON, TARGET].drop_duplicates()
    return draw_panels(tables["widths"].merge(shown, on=TARGET), TARGET, _draw_widths, SIZE, most_columns=2)


def _draw_widths(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the mean multiplier of each dimension over sources and seeds, and one standard deviation around it."""
    first = rows.iloc[0]
    axes.set_title(f"{panel_title(first['model'], first['dataset'])}, {configuration_title(first['target'])}")
    found = rows[rows["optimizer"] != UNIFORM]
    if found.empty:
        say_empty(axes)
        return
    names = list(dict.fromkeys(found["optimizer"]))
    for optimizer in names:
        own = found[found["optimizer"] == optimizer]
        style = style_of(optimizer, names)
        dimensions = own.groupby("position")["multiplier"]
        mean, std = dimensions.mean(), dimensions.std().fillna(0.0)
        axes.plot(mean.index, mean, color=style.color, linewidth=LINE, marker=style.marker, markersize=3,
                  label=own["label"].iloc[0])  # fmt: skip
        axes.fill_between(mean.index, mean - std, mean + std, color=style.color, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color="black", linewidth=LINE, linestyle=DASHED, label="uniform")
    channels = rows.drop_duplicates("position").sort_values("position")
    channels = channels.iloc[:: -(-len(channels) // MOST_NAMES)]
    axes.set_xticks(channels["position"], channels["channels"], rotation=90)
    axes.set_ylabel("width multiplier")
    axes.legend(loc="upper left", ncols=2)
