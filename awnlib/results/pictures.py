"""Figures made of pictures: a grid without ticks, and PNG files of the table `images` in it."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from awnlib.results.style import canvas, say_empty


def picture_grid(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with axes for pictures, a `size` in inches each; without rows, one that says so."""
    figure, grid = canvas(max(rows, 1), columns if rows else 1, size)
    for axes in (axes for line in grid for axes in line):
        axes.set(xticks=[], yticks=[])
    if not rows:
        say_empty(grid[0][0])
    return figure, grid


def show_picture(axes: Axes, picture: bytes, words: str) -> None:
    """Show a PNG file, with words above it."""
    axes.imshow(np.asarray(Image.open(io.BytesIO(picture))), interpolation="nearest")
    axes.set_title(words, fontsize=6.5)
