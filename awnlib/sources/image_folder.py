"""Data sets in folders of image files, a folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from awnlib.config import DatasetConfig
from awnlib.data.decode import decode_images, drop_unused_colour
from awnlib.data.raw import TEST_NAMES, DataError, RawData, Split
from awnlib.torchvision_shim import import_torchvision


class ListedSplit(NamedTuple):
    """The name of a split's folder, the paths of its images, and their labels, int64 [N]."""

    name: str
    files: list[str]
    labels: Tensor


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read ``train/<class>/*`` and ``test/<class>/*`` (or validation, valid, val), as torchvision's ``ImageFolder``.

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
        If a split is missing, has a class without images or other classes than the other split.
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
    try:
        listing = import_torchvision().datasets.ImageFolder(folder)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: every class needs a folder with images: {error}") from None
    files = [file for file, _ in listing.samples]
    return ListedSplit(folder.name, files, torch.tensor(listing.targets)), tuple(listing.classes)


def _read_split(split: ListedSplit, image_size: int | None) -> Split:
    encoded = ((file, Path(file).read_bytes()) for file in split.files)
    return Split(decode_images(encoded, len(split.files), image_size, split.name), split.labels)
