"""CIFAR-100 with its fine labels, the "Python version"."""

from __future__ import annotations

from pathlib import Path

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import RawData
from awnlib.data.torchvision_sets import read_cifar

TITLE = "CIFAR-100"

PLACES = ("cifar100/cifar-100-python", "cifar-100/cifar-100-python", "CIFAR100/cifar-100-python", "cifar-100-python")


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read the files in `config.path`, or in the first usual place that has them."""
    return read_cifar(config, folder, PLACES)
