"""Data sets in folders of image files, a folder for each class."""

from __future__ import annotations

from pathlib import Path

import torch

from awnlib.config import DatasetConfig
from awnlib.data.decode import decode_images, drop_unused_colour
from awnlib.data.raw import TEST_NAMES, DataError, RawData, Split
from awnlib.torchvision_shim import import_torchvision


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read ``train/<class>/*`` and ``test/<class>/*`` (or validation, valid, val), as torchvision's ``ImageFolder``.

    Raises
    ------
    DataError
        If a split is missing, has a class without images or other classes than the other split, or a file is no
        image.
    """
    root = folder / str(config.path)
    train_folder, test_folder = _split_folder(root, ("train",)), _split_folder(root, TEST_NAMES)
    train, classes = _read_split(train_folder, config.image_size)
    test, test_classes = _read_split(test_folder, config.image_size)
    if classes != test_classes:
        different = ", ".join(sorted(set(classes) ^ set(test_classes)))
        raise DataError(f"{root}: only one of {train_folder.name} and {test_folder.name} has the classes: {different}")
    return RawData(*drop_unused_colour(train, test), classes, f"image files in {config.path}")


def _split_folder(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root}: there is no folder {' or '.join(names)}: put the images there, a folder for each class")


def _read_split(folder: Path, image_size: int | None) -> tuple[Split, tuple[str, ...]]:
    try:
        listing = import_torchvision().datasets.ImageFolder(folder)
    except FileNotFoundError as error:
        raise DataError(f"{folder}: every class needs a folder with images: {error}") from None
    encoded = ((file, Path(file).read_bytes()) for file, _ in listing.samples)
    images = decode_images(encoded, len(listing), image_size, folder.name)
    return Split(images, torch.tensor(listing.targets)), tuple(listing.classes)
