"""From a data set's config to ``ImageData``: read the source, resize, choose a subset, measure mean and std."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from awnlib.config import DatasetConfig
from awnlib.data.decode import fit_image
from awnlib.data.image_data import ImageData
from awnlib.data.raw import DataError, RawData, Split
from awnlib.sources import read_source


def prepare_dataset(name: str, config: DatasetConfig, folder: Path) -> ImageData:
    """Read a data set and make it ready for training. The same files give the same bits.

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
    raw = read_source(config, folder)
    train = _choose(name, "train", raw.train, config.train_size, raw.classes)
    test = _choose(name, "test", raw.test, config.test_size, raw.classes)
    train, test = _resize(train, config.image_size), _resize(test, config.image_size)
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(" x ".join(map(str, split.images.shape[1:])) for split in (train, test))
        raise DataError(f"{name}: images of unequal sizes in training and test split ({sizes}): set image_size")
    mean, std = _channel_statistics(name, train.images)
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


def _resize(split: Split, size: int | None) -> Split:
    if size is None or split.images.shape[-2:] == (size, size):
        return split
    squares = [np.asarray(fit_image(_to_pil(image), size)) for image in split.images]
    images = torch.from_numpy(np.stack(squares)).view(len(squares), size, size, -1)
    return Split(images.permute(0, 3, 1, 2).contiguous(), split.labels)


def _to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy())


def _choose(name: str, split_name: str, split: Split, size: int | None, classes: tuple[str, ...]) -> Split:
    """Return ``size`` images, as many of each class (one more of the first classes if that does not divide).

    A class's images are taken at even distances in their stored order, which may itself mean something: the first
    half of MNIST's test set is easier than the second.
    """
    if size is None:
        return split
    key = f"{name}: {split_name}_size {size}"
    if size < len(classes):
        raise DataError(f"{key} is less than one image for each of the {len(classes)} classes")
    chosen = []
    for label, class_name in enumerate(classes):
        members = (split.labels == label).nonzero().flatten()
        count = size // len(classes) + (label < size % len(classes))
        if count > len(members):
            raise DataError(f"{key} needs {count} images of class '{class_name}', but there are {len(members)}")
        chosen.append(members[torch.arange(count) * len(members) // count])
    indices = torch.cat(chosen).sort().values
    return Split(split.images[indices], split.labels[indices])


def _channel_statistics(name: str, images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, from its histogram: exact, and without a copy as floats."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        weights = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (weights * levels).sum()
        means.append(mean.item())
        stds.append((weights * (levels - mean).square()).sum().sqrt().item())
    if min(stds) == 0:
        raise DataError(f"{name}: channel {stds.index(0)} has the same value in every training image")
    return tuple(means), tuple(stds)


def _describe(raw: RawData, train: Split, test: Split, image_size: int | None) -> str:
    words = [raw.source]
    if image_size is not None:
        words.append(f"resized to {image_size} x {image_size}")
    for name, used, stored in (("training", train, raw.train), ("test", test, raw.test)):
        if len(used.labels) < len(stored.labels):
            words.append(f"{len(used.labels):,} of {len(stored.labels):,} {name} images, balanced over the classes")
    return "; ".join(words)
