"""Noise to be taken from images of different sizes: supervised, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.seeding import rng
from awnlib.tasks import Metric, Supervised

METRICS = (
    Metric(name="psnr_db", unit="dB", higher_is_better=True, title="PSNR", axis_label="PSNR (dB)", summary="auc"),
    Metric(name="squared_error", unit="", higher_is_better=False, title="error", axis_label="squared error"),
)
SIZES = (16, 12, 9)


class Denoising(Supervised):
    """The image that was there before the noise."""

    metrics = METRICS
    loss_metric = "squared_error"
    monitored = ("psnr_db",)

    def network_shape(self) -> tuple[tuple[int, int, int], int]:
        """Return the shape of the largest images, and their colours."""
        shape = self.data.image_shape
        return shape, shape[0]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error."""
        return F.mse_loss(outputs, targets)

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return PSNR and squared error of each image."""
        error = (outputs - targets).square().mean(dim=(1, 2, 3))
        return {"psnr_db": -10 * error.log10(), "squared_error": error}

    def training_batches(self, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a size for each step."""
        for step, (images, _) in zip(steps, super().training_batches(steps), strict=True):
            yield self._noisy(images, SIZES[step % len(SIZES)], step)

    def test_batches(self) -> Mapping[str, Iterable[tuple[Tensor, Tensor]]]:
        """Return all sizes in one test set, and the smallest in another."""
        images = [images for images, _ in super().test_batches()["test"]]
        sizes = {"all": [*zip(images * len(SIZES), SIZES, strict=False)], "small": [*zip(images, repeat(9))]}
        return {name: [self._noisy(some, size, -1) for some, size in parts] for name, parts in sizes.items()}

    def _noisy(self, images: Tensor, size: int, step: int) -> tuple[Tensor, Tensor]:
        cut = images[:, :, :size, :size]
        noise = torch.randn(cut.shape, generator=rng(0, "noise", step))
        return cut + self.settings.noise * noise, cut


build = Denoising
