"""Film strips: a game in pictures, as some widths of each network play it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.exhibits import Exhibit
from awnlib.results.pictures import picture_grid, show_picture
from awnlib.results.style import theme
from awnlib.settings import Settings

NEEDS = ("images",)
SIZE = (1.1, 1.25)  # inches of one picture with its words


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a row for each method and width that there are pictures of: steps rise, with the score by then. First seed.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `images`; may be empty.
    """
    rows = _rows(exhibit, tables["images"])
    columns = max((len(pictures) for _, pictures in rows), default=1)
    with theme():
        figure, grid = picture_grid(len(rows), columns, SIZE)
        for line, (title, pictures) in zip(grid, rows, strict=False):
            line[0].set_ylabel(title, fontsize=7)
            _draw_row(line, pictures)
    return figure


def _rows(exhibit: Exhibit, images: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the title and the pictures of each row: of each method the first seed, its largest width first."""
    rows = []
    for panel in exhibit.panels:
        here = exhibit.rows_of(images, panel)
        here = here[here["picture"].notna()]
        for method in exhibit.methods:
            found = here[here["method"] == method]
            found = found[found["seed"] == found["seed"].min()]
            for width_mult, pictures in sorted(found.groupby("width_mult"), reverse=True, key=lambda pair: pair[0]):
                rows.append((f"{pictures['label'].iloc[0]}, {width_mult:g}x", pictures))
    return rows


def _draw_row(line: list[Axes], pictures: pd.DataFrame) -> None:
    for axes, (_, row) in zip(line, pictures.iterrows(), strict=False):
        show_picture(axes, row["picture"], f"{row['image']}: {row['score']:g}")
    for axes in line[len(pictures) :]:
        axes.set_axis_off()
