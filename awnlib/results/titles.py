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
    "bsd200": "BSD200",
    "b100": "B100",
    "set5": "Set5",
    "set14": "Set14",
    "div2k": "DIV2K",
}
"""Data and test sets that are read from image files, under the names that the studies of this repository give them."""
ONLY = "test"
"""The name of a data set's test set if it has one alone."""


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


def panel_title(model: str, dataset: str, test_set: str = ONLY) -> str:
    """Return the title of one model on one data set, and on one of its test sets where it has several."""
    names = (model, dataset) if test_set == ONLY else (model, dataset, test_set)
    return ", ".join(map(display_name, names))
