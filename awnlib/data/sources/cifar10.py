"""CIFAR-10, the "Python version"."""

from __future__ import annotations

from pathlib import Path

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import RawData
from awnlib.data.torchvision_sets import read_cifar

TITLE = "CIFAR-10"

PLACES = (
    "cifar10/cifar-10-batches-py",
    "cifar-10/cifar-10-batches-py",
    "CIFAR10/cifar-10-batches-py",
    "cifar-10-batches-py",
)


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read the files in `config.path`, or in the first usual place that has them."""
    return read_cifar(config, folder, PLACES)
