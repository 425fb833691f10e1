"""What every source of images gives: ``RawData``, two splits as stored, before resizing and choosing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from awnlib.files import why_unreadable

DIGITS = tuple("0123456789")  # class names
TEST_NAMES = ("test", "validation", "valid", "val")  # of a test split, the first that is there


SOME_LABELS = 5  # in a message


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


@contextmanager
def naming_the_folder(folder: Path) -> Iterator[None]:
    """Let an error of reading be a ``DataError`` that says which data folder was searched and how to choose another."""
    where = f"data folder: {folder.absolute()}; set data_folder or AWN_DATA for another"
    try:
        yield
    except DataError as error:
        raise DataError(f"{error} ({where})") from None
    except OSError as error:
        words = why_unreadable(error.filename, error) if error.filename else str(error)
        raise DataError(f"{words} ({where})") from None


def check_readable(file: Path) -> None:
    """Raise a ``DataError`` that says why if a file cannot be opened."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise DataError(f"{why_unreadable(file, error)}: mend or remove it") from None


def check_labels(labels: Tensor, num_classes: int | None, file: Path | str) -> None:
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


def numbered_classes(labels: Tensor, file: Path) -> tuple[str, ...]:
    """Return the names of classes that have none, their numbers; raise ``DataError`` unless every one has a label."""
    found = sorted(set(labels.tolist()))
    if found != list(range(len(found))):
        some = ", ".join(map(str, found[:SOME_LABELS])) + ", ..." * (len(found) > SOME_LABELS)
        words = f"{some} ({len(found)} different, up to {found[-1]})"
        raise DataError(
            f"{file}: without names of classes the labels of the training images must be 0, 1, ..., none left out, "
            f"found {words}: number the classes from 0, or name them all in the file's metadata"
        )
    return tuple(map(str, found))


def check_classes(name: str, classes: tuple[str, ...]) -> None:
    """Raise ``DataError`` unless there are two classes or more, each with a name of its own."""
    twice = [label for label, count in Counter(classes).items() if count > 1]
    if twice:
        raise DataError(f"{name}: several classes have the name {', '.join(twice)}: give each its own")
    if len(classes) < 2:
        raise DataError(f"{name}: there must be two classes or more, found {', '.join(classes)}")
