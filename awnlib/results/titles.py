"""How models and data sets are written for readers: as their files say, by `TITLE`; else their name as it is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from awnlib.lazy import read_literal

PACKAGE = Path(__file__).parents[1]
FOLDERS = (PACKAGE / "models", PACKAGE / "data" / "sources")
OTHERS = {
    "cifar10_jpeg": "CIFAR-10 (JPEG)",
    "tiny_imagenet_100": "Tiny ImageNet (100 classes)",
    "imagenet": "ImageNet",
}
"""Data sets that are read from image files, under the names that the studies of this repository give them."""


@cache
def display_name(name: str) -> str:
    """Return the usual spelling of a model's or data set's name; no model is imported for it.

    Raises
    ------
    ValueError
        If the `TITLE` of its file is no literal.
    """
    files = [folder / f"{name}.py" for folder in FOLDERS]
    titles = [read_literal(path, "TITLE") for path in files if path.is_file()]
    return next((str(title) for title in titles if title), OTHERS.get(name, name))


def panel_title(model: str, dataset: str) -> str:
    """Return the title of one model on one data set."""
    return f"{display_name(model)}, {display_name(dataset)}"
