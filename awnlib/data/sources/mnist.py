"""MNIST in its original IDX files."""

from __future__ import annotations

from pathlib import Path

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import RawData
from awnlib.data.torchvision_sets import read_idx

TITLE = "MNIST"

PLACES = ("mnist", "MNIST")


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read the files in `config.path`, or in the first usual place that has them."""
    return read_idx(config, folder, PLACES)
