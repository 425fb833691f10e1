"""Batches by tensor operations: the whole data set lies on the device as uint8, and there is no DataLoader.

A training epoch is ``for indices in epoch_order(...): images, labels = train_images.batch(indices, generator)``;
for evaluation there is ``evaluation_batches``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.data.image_data import ImageData
from awnlib.seeding import rng

EVERYTHING = slice(None)
PADDING = 4
AUGMENTS = ("none", "crop_flip")


class TrainingImages:
    """The training images of a data set, on a device.

    Parameters
    ----------
    data
        The data set.
    augment
        ``"none"`` or ``"crop_flip"``: pad by 4 black pixels on every side, crop at a random place, and mirror every
        other image, by chance (as for CIFAR in He et al., Deep Residual Learning for Image Recognition, section 4.2).
    device
        Where the images are kept, uint8, and batches are made.
    """

    def __init__(self, data: ImageData, augment: str, device: torch.device) -> None:
        if augment not in AUGMENTS:
            raise ValueError(f"unknown augment '{augment}' (allowed: {', '.join(AUGMENTS)})")
        self.augment = augment
        self.labels = data.train_labels.to(device)
        # All in channels_last, which convolutions want: a batch need not be copied into it. Scale and shift have a
        # number for each pixel, because broadcasting over the colours would be slow there.
        self._scale, self._shift = (
            _channels_last(values.expand(1, *data.image_shape))
            for values in scale_and_shift(data.mean, data.std, device)
        )
        images = data.train_images.to(device)
        self._images = _channels_last(F.pad(images, [PADDING] * 4) if augment == "crop_flip" else images)
        if augment == "crop_flip":
            _, height, width = data.image_shape
            # Every crop of every image, as a view: [N, C, row offset, column offset, H, W].
            self._images = self._images.unfold(2, height, 1).unfold(3, width, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, batch_size: int, *, seed: int, steps: range, share: slice = EVERYTHING
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of some steps of a training, in `epoch_order`.

        Parameters
        ----------
        batch_size
            Images in a step.
        seed
            The seed of the run.
        steps
            Numbers of the steps, counted from the start of the training.
        share
            Which images of every batch are wanted. The others are drawn, too, so that shares add up to the batch.
        """
        for step, indices in step_order(len(self), batch_size, seed=seed, steps=steps):
            yield self.batch(indices, rng(seed, "augment", step), share)

    def batch(self, indices: Tensor, generator: torch.Generator, share: slice = EVERYTHING) -> tuple[Tensor, Tensor]:
        """Return a batch of images, augmented and normalised, with its labels.

        Parameters
        ----------
        indices
            int64 [B], on the CPU.
        generator
            A CPU generator for the augmentation, so that every device draws the same. ``augment="none"`` draws
            nothing.
        share
            Which part of the batch to return.

        Returns
        -------
        tuple
            Images, float32 [B, C, H, W] in the memory layout channels_last, and labels, int64 [B], on the device.
        """
        device = self.labels.device
        if self.augment == "none":
            indices = indices[share].to(device, non_blocking=True)
            images = self._images[indices]
        else:
            offsets = torch.randint(2 * PADDING + 1, (2, len(indices)), generator=generator)
            flips = torch.randint(2, (1, len(indices)), generator=generator)
            # One transfer to the device instead of four, and without waiting for the device.
            draws = torch.cat([indices[None], offsets, flips])[:, share].to(device, non_blocking=True)
            indices, rows, columns, flip = draws
            images = self._images[indices, :, rows, columns]
            # Chooses between the two; uint8 numbers wrap around, so it is exact, and faster than torch.where.
            images = images + (images.flip(-1) - images) * flip.to(torch.uint8)[:, None, None, None]
        return normalise(images, self._scale, self._shift), self.labels[indices]


def epoch_order(num_images: int, batch_size: int, *, seed: int, epoch: int) -> list[Tensor]:
    """Return the indices of an epoch's batches: a permutation that depends on seed and epoch only.

    The images of a last batch that would be smaller are left out of this epoch.

    Returns
    -------
    list
        ``num_images // batch_size`` tensors, int64 [batch_size].

    Raises
    ------
    ValueError
        If there are fewer images than one batch needs.
    """
    if num_images < batch_size:
        raise ValueError(f"batch_size {batch_size} is more than the {num_images} training images")
    order = torch.randperm(num_images, generator=rng(seed, "epoch_order", epoch))
    return list(torch.split(order[: num_images - num_images % batch_size], batch_size))


def step_order(num_images: int, batch_size: int, *, seed: int, steps: range) -> Iterator[tuple[int, Tensor]]:
    """Yield some steps of a training, each with the indices of its batch: those of `epoch_order`, epoch after epoch."""
    per_epoch = num_images // batch_size
    order: list[Tensor] = []
    for step in steps:
        epoch, position = divmod(step, per_epoch)
        if not order or position == 0:
            order = epoch_order(num_images, batch_size, seed=seed, epoch=epoch)
        yield step, order[position]


def evaluation_batches(
    images: Tensor, labels: Tensor, mean: Sequence[float], std: Sequence[float], batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all images in order, normalised and without augmentation, with their labels; the last batch may be small.

    Parameters
    ----------
    images
        uint8 [N, C, H, W].
    labels
        int64 [N].
    mean, std
        Per channel, of images scaled to [0, 1].
    batch_size
        Images in a batch, 1 or more.
    device
        Where the batches are made.
    """
    scale, shift = scale_and_shift(mean, std, device)
    for some, their_labels in zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True):
        yield normalise(some.to(device), scale, shift), their_labels.to(device)


def scale_and_shift(mean: Sequence[float], std: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what ``(images / 255 - mean) / std`` multiplies by and adds, float32 [C, 1, 1] each."""
    means, stds = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
    return (1 / (255 * stds)).to(device, torch.float32), (-means / stds).to(device, torch.float32)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return uint8 images as float32, with the numbers of `scale_and_shift`."""
    return images.to(torch.float32).mul_(scale).add_(shift)
