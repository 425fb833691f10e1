"""What a data set's config asks of any split: how many images, and which mean and deviation normalise them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import DataError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def choose_balanced(name: str, split_name: str, labels: Tensor, size: int | None, classes: tuple[str, ...]) -> Tensor:
    """Return the indices of ``size`` images, as many of each class (one more of the first classes if needed), or all.

    A class's images are taken at even distances in their stored order, which may itself mean something: the first
    half of MNIST's test set is easier than the second.
    """
    if size is None:
        return torch.arange(len(labels))
    key = f"{name}: {split_name}_size {size}"
    if size < len(classes):
        raise DataError(f"{key} is less than one image for each of the {len(classes)} classes")
    chosen = []
    for label, class_name in enumerate(classes):
        members = (labels == label).nonzero().flatten()
        count = size // len(classes) + (label < size % len(classes))
        if count > len(members):
            raise DataError(f"{key} needs {count} images of class '{class_name}', but there are {len(members)}")
        chosen.append(members[torch.arange(count) * len(members) // count])
    return torch.cat(chosen).sort().values


def mean_and_std(name: str, config: DatasetConfig, num_channels: int, images: Callable[[], Tensor]) -> Statistics:
    """Return mean and standard deviation of each channel: those of the config, or else those of uint8 images."""
    if config.mean is None or config.std is None:
        return _measured(name, images())
    if len(config.mean) != num_channels:
        raise DataError(f"{name}: mean and std are given for {len(config.mean)} channels, images have {num_channels}")
    return tuple(config.mean), tuple(config.std)


def describe_subsets(used: tuple[int, int], stored: tuple[int, int]) -> list[str]:
    """Return a phrase for each of the two splits that is used in part."""
    return [
        f"{part:,} of {whole:,} {name} images, balanced over the classes"
        for name, part, whole in zip(("training", "test"), used, stored, strict=True)
        if part < whole
    ]


def _measured(name: str, images: Tensor) -> Statistics:
    """Return the statistics of each channel, from its histogram in whole numbers.

    Sums of floats end in other digits on other processors, and then all that was trained on the images is out of date.
    """
    means, stds = [], []
    for channel in images.unbind(1):
        counts, total = torch.bincount(channel.flatten(), minlength=256).tolist(), 255 * channel.numel()
        first = sum(count * level for level, count in enumerate(counts))
        second = sum(count * level**2 for level, count in enumerate(counts))
        means.append(first / total)
        stds.append(math.sqrt((channel.numel() * second - first**2) / total**2))
    if min(stds) == 0:
        raise DataError(f"{name}: channel {stds.index(0)} has the same value in every training image")
    return tuple(means), tuple(stds)
