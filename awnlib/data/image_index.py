"""A data set that stays in its image files: their names and labels (``ImageIndex``), kept as one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from awnlib.data.image_data import ImageData, digest_of
from awnlib.data.image_pairs import METADATA as PAIRS
from awnlib.data.image_pairs import ImagePairs
from awnlib.data.raw import DataError
from awnlib.files import atomic_path, shown
from awnlib.settings import check_choice

SplitName = Literal["train", "test"]
_TENSORS = ("train_files", "train_labels", "test_files", "test_labels")
_WORDS = ("name", "root", "image_size", "train_content", "test_content", "classes", "mean", "std", "source")
_METADATA = "awnlib.image_index"


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Where the training and test images of one data set are.

    Attributes
    ----------
    name
        The data set's name in the study.
    root
        The folder that all files lie in.
    image_size
        Height and width of the images that training and evaluation get; they are RGB.
    train_files, test_files
        Names below ``root``, byte for byte as the file system has them, uint8 [N, longest], filled up with zeros:
        processes share and map such a tensor, whereas each would have a copy of a list (1.3 million names in ImageNet).
    train_labels, test_labels
        int64 [N], from 0 to ``num_classes - 1``.
    train_content, test_content
        A digest of the content of these files, in their order, when the set was prepared.
    classes, mean, std, source
        As in ``ImageData``.
    """

    name: str
    root: str
    image_size: int
    train_files: Tensor
    train_labels: Tensor
    test_files: Tensor
    test_labels: Tensor
    train_content: str
    test_content: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image once it is read."""
        return 3, self.image_size, self.image_size

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def file(self, split: SplitName, index: int) -> Path:
        """Return the path of one image; raise a ValueError if there is no such split."""
        check_choice("split", split, SplitName)
        files = self.train_files if split == "train" else self.test_files
        (encoded,) = _unpack(files[index : index + 1])
        return Path(self.root, os.fsdecode(encoded))

    def label(self, split: SplitName, index: int) -> int:
        """Return the label of one image; raise a ValueError if there is no such split."""
        check_choice("split", split, SplitName)
        labels = self.train_labels if split == "train" else self.test_labels
        return int(labels[index])

    def choose_training(self, indices: Tensor) -> ImageIndex:
        """Return the data set with these of its training images; mean, std and the content of all stay as they are."""
        return replace(self, train_files=self.train_files[indices], train_labels=self.train_labels[indices])

    def training_digest(self) -> str:
        """Return a digest of all that training reads; images as they were when the set was prepared."""
        return self._digest(self.train_content, self.train_files, self.train_labels)

    def test_digest(self) -> str:
        """Return a digest of all that evaluation reads, likewise."""
        return self._digest(self.test_content, self.test_files, self.test_labels)

    def _digest(self, content: str, files: Tensor, labels: Tensor) -> str:
        return digest_of((self.image_size, self.num_classes, self.mean, self.std, content), files, labels)

    def check_files(self) -> None:
        """Raise a ``DataError`` if a file is missing; folders are listed, which is faster than asking for each file."""
        listings: dict[str, set[str]] = {}
        for files in (self.train_files, self.test_files):
            for encoded in _unpack(files):
                folder, _, name = os.fsdecode(encoded).rpartition("/")
                if folder not in listings:
                    listings[folder] = _listing(Path(self.root, folder))
                if name not in listings[folder]:
                    file = Path(self.root, folder, name)
                    raise DataError(f"{shown(file)} is missing: put it back, or prepare the data set again")

    def save(self, path: str | Path) -> None:
        """Write the index to one safetensors file; the same data give the same bytes."""
        words = {name: getattr(self, name) for name in _WORDS}
        with atomic_path(path) as temporary:
            save_file({name: getattr(self, name) for name in _TENSORS}, temporary, {_METADATA: json.dumps(words)})


DataSet = ImageData | ImageIndex


def load_dataset(path: str | Path) -> DataSet | ImagePairs:
    """Read a prepared data set of any form.

    Raises
    ------
    DataError
        If the file is missing, truncated, or something else, or a file of an index is missing.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            words = json.loads(metadata.get(_METADATA, "null"))
            if words is not None:
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (SafetensorError, OSError):
        words, metadata = None, {}  # ImageData.load says what is wrong
    if PAIRS in metadata:
        return ImagePairs.load(path)
    if words is None:
        return ImageData.load(path)
    words.update({name: tuple(words[name]) for name in ("classes", "mean", "std")})
    index = ImageIndex(**words, **tensors)
    index.check_files()
    return index


def pack_names(names: Sequence[str]) -> Tensor:
    """Return file names as one tensor, uint8 [N, longest]."""
    table = np.array([os.fsencode(name) for name in names])
    return torch.from_numpy(table.view(np.uint8).reshape(len(names), -1).copy())


def _unpack(files: Tensor) -> list[bytes]:
    names: list[bytes] = files.numpy().view(f"S{files.shape[1]}").ravel().tolist()
    return names


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
