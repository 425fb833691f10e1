"""The input pipeline that most training code has: torchvision transforms of PIL images in a `DataLoader`."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from awnlib.torchvision_shim import import_torchvision

MANY = 10**9  # images of an epoch that never ends


class PilImages(Dataset[tuple[Any, int]]):
    """Images kept as one array, each made a PIL image and transformed when it is asked for, as `CIFAR10` does.

    Parameters
    ----------
    images, labels
        uint8 `[N, 3, 32, 32]` and int64 `[N]`.
    mean, std
        Per channel, of images scaled to [0, 1].
    augment
        Whether to crop at random after padding by 4, and to mirror every other image.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, mean: tuple[float, ...], std: tuple[float, ...], *, augment: bool
    ) -> None:
        import_torchvision()
        from torchvision import transforms

        random = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augment else []
        self.transform = transforms.Compose([*random, transforms.ToTensor(), transforms.Normalize(mean, std)])
        self.pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def endless_loader(images: PilImages, batch_size: int, *, workers: int, pinned: bool) -> DataLoader[Any]:
    """Return a loader of random batches (images and labels) whose epoch never ends, so that workers start once."""
    sampler = RandomSampler(images, num_samples=MANY)
    return DataLoader(images, batch_size, sampler=sampler, num_workers=workers, pin_memory=pinned)
