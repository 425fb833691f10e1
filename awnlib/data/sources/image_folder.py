"""Data sets in folders of image files, a folder for each class."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.decode import decode_images, drop_unused_colour, read_file
from awnlib.data.image_files import ImageFiles
from awnlib.data.raw import TEST_NAMES, DataError, RawData, Split
from awnlib.files import shown


class ListedSplit(NamedTuple):
    """The name of a split's folder, the paths of its images, and their labels, int64 [N]."""

    name: str
    files: list[str]
    labels: Tensor


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read ``train/<class>/*`` and ``test/<class>/*`` (or validation, valid, val), as torchvision's ``ImageFolder``.

    Hidden files and folders are no images and no classes; they and files of other endings are named on stderr.

    Raises
    ------
    DataError
        If a split is missing, has a class without images or other classes than the other split, or a file is no
        image.
    """
    train, test, classes = list_files(config, folder)
    splits = (_read_split(listed, config.image_size) for listed in (train, test))
    return RawData(*drop_unused_colour(*splits), classes, f"image files in {config.path}")


def list_files(config: DatasetConfig, folder: Path) -> tuple[ListedSplit, ListedSplit, tuple[str, ...]]:
    """Return the files of the training and the test split, and the names of the classes.

    Raises
    ------
    DataError
        If a split is missing, has a class without images or other classes than the other split, or something in it is
        neither a file nor a folder.
    """
    root = folder / str(config.path)
    train, classes = _list_split(_split_folder(root, ("train",)))
    test, test_classes = _list_split(_split_folder(root, TEST_NAMES))
    if classes != test_classes:
        different = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise DataError(f"{root}: only one of {train.name} and {test.name} has the classes: {different}")
    return train, test, classes


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root}: there is no folder {' or '.join(names)}: put the images there, a folder for each class")


def _list_split(folder: Path) -> tuple[ListedSplit, tuple[str, ...]]:
    found = ImageFiles(folder)
    folders, outside = found.inside(str(folder))
    for file in outside:
        found.leave_out("outside the folders of the classes", file)
    images = {_class_name(path): found.below(path) for path in folders}
    left_out = found.left_out()
    empty = [name for name, files in images.items() if not files]
    if empty or not images:
        which = f"found none in {', '.join(empty)}" if empty else "found no folder"
        raise DataError(
            f"{folder}: every class needs a folder with images: {which} (left out: {left_out or 'nothing'})"
        )
    if left_out:
        print(f"{folder}: left out {left_out}", file=sys.stderr, flush=True)
    counts = torch.tensor([len(files) for files in images.values()])
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    return ListedSplit(folder.name, [file for files in images.values() for file in files], labels), tuple(images)


def _class_name(folder: str) -> str:
    """Return the name of a class's folder, the same in every locale."""
    try:
        return os.fsencode(os.path.basename(folder)).decode()
    except UnicodeDecodeError:
        raise DataError(f"{shown(folder)}: the name of a class must be UTF-8: rename the folder") from None


def _read_split(split: ListedSplit, image_size: int | None) -> Split:
    encoded = ((shown(file), read_file(file)) for file in split.files)
    return Split(decode_images(encoded, len(split.files), image_size, split.name), split.labels)
