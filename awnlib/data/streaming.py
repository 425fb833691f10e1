"""Images read while they are needed, for sets that do not fit into memory: a ``DataLoader`` over an ``ImageIndex``.

What an image looks like in training follows from (seed, epoch, number of the image) alone, however many processes read
and wherever a run was interrupted.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from awnlib.data.batches import EVERYTHING, normalise, scale_and_shift, step_order
from awnlib.data.decode import decode_image, read_file
from awnlib.data.image_index import ImageIndex, SplitName
from awnlib.files import shown
from awnlib.jobs.interrupt import sigterm_blocked
from awnlib.seeding import seeded_everywhere
from awnlib.torchvision_shim import import_torchvision

TIMM = "rand-m9-mstd0.5"
AUGMENTS = ("none", "resized_crop", "randaugment", TIMM)
RESIZED = 256 / 224  # the shorter side before the crop in evaluation, divided by the crop

Drawn = tuple[int, int, int]  # an image of training: seed, epoch and number
Batch = tuple[Tensor, Tensor]


class StreamedImages:
    """The training images of an indexed data set; has what `awnlib.data.batches.TrainingImages` has for training.

    Parameters
    ----------
    index
        The files.
    augment
        ``"none"``: as in evaluation. ``"resized_crop"``: a crop of 8 to 100 % of the area and a shape from 3:4 to 4:3,
        resized, and mirrored every other time, by chance (Szegedy et al., Going Deeper with Convolutions, section 6).
        ``"randaugment"``: two random operations of magnitude 9 of 10 besides (torchvision; Cubuk et al., RandAugment).
        ``"rand-m9-mstd0.5"``: timm's, as Width Transfer has them (appendix A): two of its 15 operations, each with
        probability 0.5 and a magnitude of 9 with a standard deviation of 0.5.
    device
        Where batches are normalised.
    num_workers
        Processes that read; 0: this one does.

    Raises
    ------
    ValueError
        If there is no such augmentation.
    ImportError
        If it is timm's, and timm is not installed.
    """

    def __init__(self, index: ImageIndex, augment: str, device: torch.device, num_workers: int = 0) -> None:
        if augment not in AUGMENTS:
            raise ValueError(f"unknown augment '{augment}' of a streamed data set (allowed: {', '.join(AUGMENTS)})")
        if augment == TIMM:
            _timm_operations()
        self.index, self.augment, self.device, self.num_workers = index, augment, device, num_workers

    def __len__(self) -> int:
        return len(self.index.train_labels)

    def batches(
        self, batch_size: int, *, seed: int, steps: range, share: slice = EVERYTHING
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of some steps of a training, as `awnlib.data.batches.TrainingImages.batches`."""
        per_epoch = len(self) // batch_size
        order = (
            [(seed, step // per_epoch, index) for index in indices[share].tolist()]
            for step, indices in step_order(len(self), batch_size, seed=seed, steps=steps)
        )
        return _read(_Augmented(self.index, self.augment), order, self.index, self.device, self.num_workers)


def streamed_batches(
    index: ImageIndex,
    split: SplitName,
    indices: Tensor,
    batch_size: int,
    device: torch.device,
    num_workers: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chosen images in order, normalised and without augmentation, with their labels.

    The shorter side is resized to 256/224 of the image size, and the middle is kept.

    Parameters
    ----------
    index, split, indices
        The files, which split of them, and the numbers of the images.
    batch_size
        Images in a batch; the last one may be smaller.
    device, num_workers
        As in `StreamedImages`.
    """
    return _read(
        _Plain(index, split), (part.tolist() for part in torch.split(indices, batch_size)), index, device, num_workers
    )


def centre_crop(image: Image.Image, size: int) -> Tensor:
    """Return an image as evaluation sees it, uint8 [3, size, size]."""
    functional = _transforms().functional
    resized = functional.resize(image, [round(size * RESIZED)])
    pixels: Tensor = functional.pil_to_tensor(functional.center_crop(resized, [size]))
    return pixels


class _Plain(Dataset[Batch]):
    """The images of a split as evaluation sees them."""

    def __init__(self, index: ImageIndex, split: SplitName) -> None:
        self.index, self.split = index, split

    def __getitem__(self, number: int) -> Batch:
        pixels = centre_crop(read_image(self.index.file(self.split, number)), self.index.image_size)
        return pixels, torch.tensor(self.index.label(self.split, number))


class _Augmented(Dataset[Batch]):
    """The images of training, each as its seed and epoch draw it."""

    def __init__(self, index: ImageIndex, augment: str) -> None:
        self.index, self.augment = index, augment

    def __getitem__(self, drawn: Drawn) -> Batch:
        seed, epoch, number = drawn
        image = read_image(self.index.file("train", number))
        label = torch.tensor(self.index.label("train", number))
        if self.augment == "none":
            return centre_crop(image, self.index.image_size), label
        # The transforms draw from the global generators of whatever process they run in.
        with seeded_everywhere(seed, "augment", epoch, number):
            return _augmentation(self.augment, self.index.image_size, self.index.mean)(image), label


def read_image(file: Path) -> Image.Image:
    """Return one image in its stored size, RGB; raise a ``DataError`` that names the file if it cannot be used."""
    return decode_image(shown(file), read_file(file))


@lru_cache
def _augmentation(augment: str, size: int, mean: tuple[float, ...]) -> Callable[[Image.Image], Tensor]:
    """Return the transform from a stored image to uint8 [3, size, size]; it draws from the global generators."""
    v2 = _transforms()
    steps = [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip()]
    if augment == "randaugment":
        # Of 10 as in timm, whose `rand-m9` the papers mean; torchvision's own scale is of 30.
        steps.append(v2.RandAugment(num_ops=2, magnitude=9, num_magnitude_bins=11))
    if augment == TIMM:
        # Shifts of up to 0.45 of the size, and what is uncovered in the mean colour: timm's own for training.
        filled = tuple(min(255, round(255 * value)) for value in mean)
        hints = {"translate_const": int(0.45 * size), "img_mean": filled}
        steps.append(_timm_operations().rand_augment_transform(TIMM, hints))
    transform: Callable[[Image.Image], Tensor] = v2.Compose([*steps, v2.PILToTensor()])
    return transform


def _timm_operations() -> Any:
    import_torchvision()  # timm imports it
    try:
        return importlib.import_module("timm.data.auto_augment")
    except ModuleNotFoundError as error:
        raise ImportError(f"augment '{TIMM}' needs timm ({error}): pip install 'awnlib[timm]'") from None


def _transforms() -> Any:
    import_torchvision()
    return importlib.import_module("torchvision.transforms.v2")


def _read(
    images: Dataset[Batch], order: Iterator[Sequence[object]], index: ImageIndex, device: torch.device, workers: int
) -> Iterator[Batch]:
    """Yield batches of a data set in the given order, normalised on the device."""
    loader = DataLoader(
        images,
        batch_sampler=order,  # type: ignore[arg-type]  # an iterator of lists is enough, and is read as it is needed
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # or it would draw from the global one
        worker_init_fn=_obey_parent_only,
    )
    scale, shift = scale_and_shift(index.mean, index.std, device)
    with sigterm_blocked():  # schedulers send it to all processes, but a step needs its readers until its end
        loaded = iter(loader)
    for pixels, labels in loaded:
        pixels = pixels.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        yield normalise(pixels, scale, shift), labels.to(device, non_blocking=True)


def _obey_parent_only(_: int) -> None:
    """Let a reading process, in which SIGTERM is blocked, end with one of its parent.

    Python sends it, when it exits, to readers that are left, and waits for their end.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on every system
        threading.Thread(target=_end_with_sigterm_of_parent, daemon=True).start()


def _end_with_sigterm_of_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
