"""Batches of a data set in either form: in memory (``ImageData``) or streamed (``ImageIndex``).

Nothing else tells the two apart. These are no methods of theirs, or a data set would be prepared again after every edit
of an augmentation (`awnlib.jobs.code`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from awnlib.data.batches import TrainingImages, evaluation_batches
from awnlib.data.image_data import ImageData
from awnlib.data.image_index import DataSet
from awnlib.data.streaming import StreamedImages, streamed_batches


def training_images(
    data: DataSet, augment: str, device: torch.device, num_workers: int = 0
) -> TrainingImages | StreamedImages:
    """Return the training images, augmented; `num_workers` processes read those of a streamed set."""
    if isinstance(data, ImageData):
        return TrainingImages(data, augment, device)
    return StreamedImages(data, augment, device, num_workers)


def chosen_training_batches(
    data: DataSet, indices: Tensor, batch_size: int, device: torch.device, num_workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chosen training images, normalised and without augmentation, with their labels."""
    if isinstance(data, ImageData):
        images, labels = data.train_images[indices], data.train_labels[indices]
        return evaluation_batches(images, labels, data.mean, data.std, batch_size, device)
    return streamed_batches(data, "train", indices, batch_size, device, num_workers)


def all_test_batches(
    data: DataSet, batch_size: int, device: torch.device, num_workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all test images in order, normalised, with their labels."""
    if isinstance(data, ImageData):
        return evaluation_batches(data.test_images, data.test_labels, data.mean, data.std, batch_size, device)
    every = torch.arange(len(data.test_labels))
    return streamed_batches(data, "test", every, batch_size, device, num_workers)
