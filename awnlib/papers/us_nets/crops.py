"""Parts of test images at several widths beside the bicubic enlargement and the original, with scores of the images."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.exhibits import Exhibit
from awnlib.results.pictures import picture_grid, show_picture
from awnlib.results.style import say_empty, theme
from awnlib.settings import Settings

NEEDS = ("images",)
SIZE = (1.35, 1.5)  # inches of one picture with its words


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a row for each image that there are pictures of, and each method: original, bicubic, widths that fall.

    Of the first seed. The scores are those of whole images.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `images`; may be empty.

    References
    ----------
    US-Nets, figure 4.
    """
    rows = _rows(exhibit, tables["images"])
    widths = sorted({width for *_, pictures in rows for width in pictures["width_mult"]}, reverse=True)
    with theme():
        figure, grid = picture_grid(len(rows), 2 + len(widths), SIZE)
        for line, (title, pictures) in zip(grid, rows, strict=False):
            _draw_row(line, title, pictures, widths, exhibit.metric.unit)
    return figure


def _rows(exhibit: Exhibit, images: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the title and the pictures of each row of the figure."""
    rows = []
    for panel in exhibit.panels:
        here = exhibit.rows_of(images, panel)
        here = here[here["picture"].notna() & here["method"].isin(exhibit.methods)]
        for image in dict.fromkeys(here["image"]):
            for method in exhibit.methods:
                found = here[(here["image"] == image) & (here["method"] == method)]
                found = found[found["seed"] == found["seed"].min()].drop_duplicates("width_mult")
                if len(found):
                    rows.append((f"{image}\n{found['label'].iloc[0]}", found))
    return rows


def _draw_row(line: list[Axes], title: str, pictures: pd.DataFrame, widths: list[float], unit: str) -> None:
    first = pictures.iloc[0]
    line[0].set_ylabel(title)
    show_picture(line[0], first["picture_target"], "original")
    show_picture(line[1], first["picture_before"], f"bicubic {first['baseline']:.2f} {unit}")
    by_width = {row["width_mult"]: row for _, row in pictures.iterrows()}
    for axes, width in zip(line[2:], widths, strict=True):
        if width in by_width:
            show_picture(axes, by_width[width]["picture"], f"{width:g}x {by_width[width]['score']:.2f} {unit}")
        else:
            say_empty(axes)
