"""Parts of the training images in which all classes have their share."""

from __future__ import annotations

import torch
from torch import Tensor

from awnlib.data.image_index import DataSet
from awnlib.seeding import rng


def balanced_order(data: DataSet, seed: int, purpose: str) -> Tensor:
    """Return the indices of all training images, shuffled so that every stretch has its share of each class.

    The images of a class are shuffled and spread evenly over the order: the i-th of n has the place (i + 1/2) / n.

    Returns
    -------
    Tensor
        int64 [N].
    """
    places = torch.empty(len(data.train_labels), dtype=torch.float64)
    for label in range(data.num_classes):
        members = (data.train_labels == label).nonzero().flatten()
        shuffled = members[torch.randperm(len(members), generator=rng(seed, purpose, label))]
        places[shuffled] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / max(len(members), 1)
    return places.argsort(stable=True)


def check_classes(data: DataSet, indices: Tensor, what: str) -> None:
    """Raise a ValueError that names the classes of which there is no image among `indices`."""
    counts = torch.bincount(data.train_labels[indices], minlength=data.num_classes)
    missing = [name for name, count in zip(data.classes, counts.tolist(), strict=True) if count == 0]
    if missing:
        raise ValueError(
            f"{what} has no image of class {', '.join(missing)}: {data.name} has too few training images for it"
        )


def subset(data: DataSet, indices: Tensor) -> DataSet:
    """Return the data set with some of its training images, in their stored order; mean and std stay as they are."""
    return data.choose_training(indices.sort().values)


def without_each_fold(data: DataSet, folds: int, seed: int) -> list[DataSet]:
    """Return the data set without each of `folds` parts of its training images in turn; itself for one fold.

    Raises
    ------
    ValueError
        If a fold has no image of some class.
    """
    if folds == 1:
        return [data]
    parts = balanced_order(data, seed, "folds").tensor_split(folds)
    for index, part in enumerate(parts):
        check_classes(data, part, f"fold {index + 1} of {folds}")
    return [subset(data, torch.cat([*parts[:index], *parts[index + 1 :]])) for index in range(folds)]


def hold_out(data: DataSet, fraction: float, seed: int) -> tuple[DataSet, Tensor]:
    """Return the data set without a part of its training images, and the indices of that part; itself for 0.

    Every prefix of the indices has all classes in their shares, too.

    Raises
    ------
    ValueError
        If one of the two parts has no image of some class.
    """
    if fraction == 0:
        return data, torch.arange(0)
    order = balanced_order(data, seed, "held_out")
    held, rest = order.tensor_split([round(fraction * len(order))])
    check_classes(data, held, f"the held-out {fraction:g} of the training images")
    check_classes(data, rest, f"the training set without the held-out {fraction:g}")
    return subset(data, rest), held
