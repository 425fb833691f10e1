"""What the figures of width transfer share: a panel for each group of rows, optimisers' styles, what is missing."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.style import DOTTED, GREY, Style, canvas, say_empty, theme

MAX_COLUMNS = 3
STYLES = {
    "dmcp": Style("#0072b2"),
    "autoslim": Style("#d55e00", marker="s"),
    "morphnet": Style("#009e73", marker="^"),
}
Draw = Callable[[Axes, pd.DataFrame], None]


def draw_panels(
    rows: pd.DataFrame, keys: list[str], draw_panel: Draw, size: tuple[float, float], *, most_columns: int = MAX_COLUMNS
) -> Figure:
    """Draw one panel for each group of rows."""
    groups = [group for _, group in rows.groupby(keys, sort=False)]
    columns = max(1, min(most_columns, len(groups)))
    with theme():
        figure, grid = canvas(max(1, -(-len(groups) // columns)), columns, size)
        cells = [axes for row in grid for axes in row]
        for axes, group in zip(cells, groups, strict=False):
            draw_panel(axes, group)
        for axes in cells[max(1, len(groups)) :]:
            axes.remove()
        if not groups:
            say_empty(cells[0])
        note_missing(figure, rows)
    return figure


def style_of(optimizer: str, others: Sequence[str] = ()) -> Style:
    """Return the style of an optimiser; rows of the study's own share out further colours in order."""
    if optimizer in STYLES:
        return STYLES[optimizer]
    new = [name for name in others if name not in STYLES]
    return Style(sns.color_palette("husl", len(new)).as_hex()[new.index(optimizer)], DOTTED, "D")


def note_missing(figure: Figure, rows: pd.DataFrame) -> None:
    """Name retrainings without a result in small print below the figure."""
    if "state" not in rows or not (rows["state"] != "ok").any():
        return
    lost = rows[rows["state"] != "ok"]
    names = dict.fromkeys(f"{row['label']} from {row['source']} (seed {row['seed']})" for _, row in lost.iterrows())
    text = textwrap.fill("missing: " + "; ".join(names), width=int(14 * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=7.5, color=GREY, x=0.01, ha="left", fontstyle="italic")
