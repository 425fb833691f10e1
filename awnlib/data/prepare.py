"""From a data set's config to ``ImageData``: read the source, resize, choose a subset, measure mean and std.

A streamed data set becomes an ``ImageIndex`` instead, one without labels ``ImagePairs``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.decode import fit_image
from awnlib.data.image_data import ImageData
from awnlib.data.image_index import DataSet
from awnlib.data.image_pairs import ImagePairs
from awnlib.data.indexing import index_dataset
from awnlib.data.pairing import pair_dataset
from awnlib.data.raw import DataError, RawData, Split, check_classes, check_labels, naming_the_folder
from awnlib.data.sources import read_source
from awnlib.data.subsets import choose_balanced, describe_subsets, mean_and_std


def prepare_dataset(name: str, config: DatasetConfig, folder: Path) -> DataSet | ImagePairs:
    """Read a data set, or list its files if it is streamed, and make it ready for training.

    The same files give the same bits.

    Parameters
    ----------
    name
        The data set's name in the study.
    config
        Where the images come from, their size, and how many of them.
    folder
        The data folder (``data_folder``).

    Raises
    ------
    DataError
        If data are missing or damaged, do not fit together, or are too few.
    """
    if config.scale is not None:
        return pair_dataset(name, config, folder)
    return index_dataset(name, config, folder) if config.stream else _read(name, config, folder)


def _read(name: str, config: DatasetConfig, folder: Path) -> ImageData:
    with naming_the_folder(folder):
        raw = read_source(config, folder)
    check_classes(name, raw.classes)
    for split_name, split in (("train", raw.train), ("test", raw.test)):
        check_labels(split.labels, len(raw.classes), f"{name}, {split_name} split")
    train = _subset(raw.train, choose_balanced(name, "train", raw.train.labels, config.train_size, raw.classes))
    test = _subset(raw.test, choose_balanced(name, "test", raw.test.labels, config.test_size, raw.classes))
    train, test = _resize(train, config.image_size), _resize(test, config.image_size)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(" x ".join(map(str, split.images.shape[1:])) for split in (train, test))
        raise DataError(f"{name}: images of unequal sizes in training and test split ({sizes}): set image_size")
    mean, std = mean_and_std(name, config, train.images.shape[1], lambda: train.images)
    return ImageData(
        name=name,
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
        classes=raw.classes,
        mean=mean,
        std=std,
        source=_describe(raw, train, test, config.image_size),
    )


def _subset(split: Split, indices: Tensor) -> Split:
    if len(indices) == len(split.labels):
        return split
    return Split(split.images[indices], split.labels[indices])


def _resize(split: Split, size: int | None) -> Split:
    if size is None or split.images.shape[-2:] == (size, size):
        return split
    squares = [np.asarray(fit_image(_to_pil(image), size)) for image in split.images]
    images = torch.from_numpy(np.stack(squares)).view(len(squares), size, size, -1)
    return Split(images.permute(0, 3, 1, 2).contiguous(), split.labels)


def _to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy())


def _describe(raw: RawData, train: Split, test: Split, image_size: int | None) -> str:
    words = [raw.source] if image_size is None else [raw.source, f"resized to {image_size} x {image_size}"]
    used, stored = (len(train.labels), len(test.labels)), (len(raw.train.labels), len(raw.test.labels))
    return "; ".join([*words, *describe_subsets(used, stored)])
