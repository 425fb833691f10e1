"""What every source of images gives: ``RawData``, two splits as stored, before resizing and choosing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

DIGITS = tuple("0123456789")  # class names
TEST_NAMES = ("test", "validation", "valid", "val")  # of a test split, the first that is there


class DataError(ValueError):
    """A data set that cannot be used; the message names the file (and row) and says what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 [N, C, H, W], with their labels, int64 [N]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class RawData:
    """The splits of a data set, the names of its classes, and where it came from, in words."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    source: str


def data_folder(configured: str | None) -> Path:
    """Return the folder of the data sets: the configured one, else ``$AWN_DATA``, else ``./data``."""
    return Path(configured or os.environ.get("AWN_DATA") or "data").expanduser()


@contextmanager
def naming_the_folder(folder: Path) -> Iterator[None]:
    """Let a ``DataError`` of reading say which data folder was searched, and how to choose another."""
    try:
        yield
    except DataError as error:
        where = f"data folder: {folder.absolute()}; set data_folder or AWN_DATA for another"
        raise DataError(f"{error} ({where})") from None


def check_labels(labels: Tensor, num_classes: int | None, file: Path) -> None:
    """Raise ``DataError`` unless all labels lie in 0, ..., num_classes - 1 (None: in 0, 1, ...)."""
    highest = torch.iinfo(torch.int64).max if num_classes is None else num_classes - 1
    outside = ((labels < 0) | (labels > highest)).nonzero()
    if len(outside):
        row = int(outside[0])
        allowed = "0 or more" if num_classes is None else f"0 to {highest}"
        raise DataError(
            f"{file}, row {row} (from 0): label {int(labels[row])}, but labels must be {allowed}; "
            "leave out images without a label and number the classes from 0"
        )
