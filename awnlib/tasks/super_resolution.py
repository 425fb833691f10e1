"""Super-resolution: large images from small ones, measured by PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.data import ImagePair, ImagePairs
from awnlib.data.bicubic import enlarged
from awnlib.data.pairing import COLOURS, in_colour
from awnlib.layers import SlimmableNetwork
from awnlib.seeding import rng
from awnlib.tasks._distillation import Distance
from awnlib.tasks._image_quality import PEAK, grey, luminance, psnr_db, ssim, without_border
from awnlib.tasks._metric import Metric
from awnlib.tasks._pictures import Pictures
from awnlib.tasks._super_resolution_settings import Settings
from awnlib.tasks._supervised import Batch, Supervised
from awnlib.tasks._task import Shape
from awnlib.tasks._tiles import in_tiles

METRICS = (
    Metric(name="psnr_db", unit="dB", higher_is_better=True, title="PSNR", axis_label="PSNR (dB)", summary="auc"),
    Metric(name="ssim", unit="", higher_is_better=True, title="SSIM", axis_label="SSIM"),
    Metric(name="loss", unit="", higher_is_better=False, title="training loss", axis_label="training loss"),
)
DISTANCES = ("l1", "l2")
NEEDS_PAIRS = True
JUDGES_IMAGES = True
MORE_BORDER = 6  # pixels besides the scale that are left out where all colours are measured
LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss}


class SuperResolution(Supervised):
    """The large image to a small one, which PIL made of it.

    Inputs are small images, normalised; outputs are large ones, normalised likewise, with as many colours. Targets
    are that too in training. In tests they are the pixels themselves, 0 to 255, and outputs are rounded to such.
    """

    metrics = METRICS
    loss_metric = "loss"
    settings: Settings

    @property
    def pairs(self) -> ImagePairs:
        """The data set."""
        assert isinstance(self.data, ImagePairs)
        return self.data

    def network_shape(self) -> tuple[Shape, int]:
        """Return the shape of a small patch, and the colours of all pixels that become of one."""
        patch = self.settings.patch
        return (COLOURS, patch, patch), COLOURS * self.pairs.scale**2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean absolute or squared error of all pixels."""
        return LOSSES[self.settings.loss](outputs, targets)

    def distil(self, outputs: Tensor, teacher: Tensor, distance: Distance | None = None) -> Tensor:
        """Return the same between the outputs of two widths, or the distance asked for (US-Nets, section 4.2)."""
        return LOSSES[distance or self.settings.loss](outputs, teacher)

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return PSNR in dB and SSIM of each image; of one that is stored in grey as it is, whatever is measured."""
        pixels, border = self.pixels(outputs), self.pairs.scale
        if targets.shape[1] == 1:
            pixels = grey(pixels)
        elif self.settings.measured_on == "luminance":
            pixels, targets = luminance(pixels), luminance(targets)
        if self.settings.measured_on == "rgb":
            border += MORE_BORDER
        compared = [without_border(images, border) for images in (pixels, targets)]
        return {"psnr_db": psnr_db(*compared), "ssim": ssim(*compared)}

    def open_training(self) -> int:
        """Check that the settings fit the images, and return the steps of an epoch.

        Raises
        ------
        ValueError
            If patches are larger than a training image, or a crop is of no test image.
        """
        patch = self.settings.patch
        known = {f"{test_set}/{pair.name}" for test_set, pairs in self.pairs.tests.items() for pair in pairs}
        if lost := sorted(set(self.settings.crops) - known):
            tests = ", ".join(self.pairs.tests)
            raise ValueError(f"task_settings.crops: no test image is called {', '.join(lost)} (test sets: {tests})")
        for pair in self.pairs.train:
            if min(pair.low.shape[1:]) < patch:
                height, width = pair.low.shape[1:]
                raise ValueError(
                    f"task_settings.patch: {patch} pixels do not fit into the training image {pair.name}, whose small "
                    f"copy has {width} x {height}: lower it, or remove the image"
                )
        return self.settings.epoch_steps

    def training_batches(self, steps: range) -> Iterator[Batch]:
        """Yield patches of images, both drawn at random, mirrored and transposed by chance."""
        for step in steps:
            draws = self._draws(step)[self.share]
            patches = [self._patch(image, place, turns) for image, place, turns in draws]
            low, high = (torch.stack(images).to(self.device) for images in zip(*patches, strict=True))
            yield self.normalised(low), self.normalised(high)

    def test_batches(self) -> Mapping[str, Sequence[Batch]]:
        """Return each test set, one image at a time."""
        if self._test_sets is not None:
            return self._test_sets  # type: ignore[return-value]
        return {name: [self._whole(pair) for pair in pairs] for name, pairs in self.pairs.tests.items()}

    def outputs_of_widths(
        self, model: SlimmableNetwork, inputs: Tensor, rising: Sequence[float]
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield the outputs of rising widths, computed in tiles if the settings ask for it."""
        outputs = super().outputs_of_widths
        if self.settings.tile is None:
            yield from outputs(model, inputs, rising)
            return
        yield from in_tiles(model, inputs, rising, outputs, tile=self.settings.tile, scale=self.pairs.scale)

    def training_inputs(self, num_images: int, batch_size: int, seed: int) -> list[Tensor]:
        """Return nothing: the networks have no norms."""
        return []

    @torch.no_grad()
    def evaluate_images(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Measure each test image beside its bicubic enlargement, as `Task.evaluate_images` says."""
        rising, pictures = sorted(set(width_mults)), Pictures(self.settings.crops)
        rows: list[dict[str, Any]] = []
        for test_set, pairs in self.pairs.tests.items():
            for pair in pairs:
                inputs, targets = self._whole(pair)
                before = self._before(pair)
                baseline = self._scores(before, targets)
                for some, outputs in self.outputs_of_widths(model, inputs, rising):
                    for width_mult, output in zip(rising[some], outputs, strict=True):
                        about = {"width_mult": width_mult, "test_set": test_set, "image": pair.name}
                        shown = pictures.of(test_set, pair.name, self.pixels(output), before, targets)
                        for metric, score in self.measure(output, targets).items():
                            beside = {"score": score.item(), "baseline": baseline[metric]}
                            rows.append({**about, "metric": metric, **beside, **shown})
        return rows

    def baseline(self, pair: ImagePair) -> dict[str, float]:
        """Return by metric what the bicubic enlargement of an image's small copy is worth."""
        return self._scores(self._before(pair), self._whole(pair)[1])

    def _scores(self, pixels: Tensor, targets: Tensor) -> dict[str, float]:
        """Return by metric what one image, in pixels, is worth."""
        return {metric: score.item() for metric, score in self.measure(self.normalised(pixels), targets).items()}

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return pixels, 0 to 255, as networks see them."""
        mean, std = self._mean_and_std()
        return (pixels / PEAK - mean) / std

    def pixels(self, outputs: Tensor) -> Tensor:
        """Return what networks give as pixels: whole numbers from 0 to 255."""
        mean, std = self._mean_and_std()
        return ((outputs * std + mean) * PEAK).round().clamp(0, PEAK)

    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None] for values in (self.pairs.mean, self.pairs.std)
        )
        return mean, std

    def _before(self, pair: ImagePair) -> Tensor:
        """Return the bicubic enlargement, in pixels."""
        return in_colour(enlarged(pair.low, self.pairs.scale))[None].to(self.device)

    def _whole(self, pair: ImagePair) -> Batch:
        """Return the input and the target of one test image."""
        return self.normalised(in_colour(pair.low)[None].to(self.device)), pair.high[None].to(self.device)

    def _draws(self, step: int) -> list[tuple[int, list[float], list[int]]]:
        """Return for each patch of a step its image, its place, 0 to 1 in both directions, and how it is turned."""
        generator, count = rng(self.run.seed, "patches", step), self.run.train.batch_size
        images = torch.randint(len(self.pairs.train), (count,), generator=generator).tolist()
        places = torch.rand(count, 2, generator=generator, dtype=torch.float64).tolist()
        turns = torch.randint(2, (count, 3), generator=generator).tolist()
        return list(zip(images, places, turns, strict=True))

    def _patch(self, image: int, place: Sequence[float], turns: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return a patch of an image's copy and of the image, in colour."""
        pair, size = self.pairs.train[image], self.settings.patch
        rows, columns = (int(part * (side - size + 1)) for part, side in zip(place, pair.low.shape[1:], strict=True))
        low = _turned(in_colour(pair.low)[:, rows : rows + size, columns : columns + size], turns)
        rows, columns, size = (number * self.pairs.scale for number in (rows, columns, size))
        return low, _turned(in_colour(pair.high)[:, rows : rows + size, columns : columns + size], turns)


def _turned(pixels: Tensor, turns: Sequence[int]) -> Tensor:
    """Return an image, `[C, H, W]`, mirrored upside down, mirrored left to right, and transposed, if asked."""
    upside_down, mirrored, transposed = turns
    pixels = pixels.flip([axis for axis, turn in ((1, upside_down), (2, mirrored)) if turn])
    return pixels.transpose(1, 2) if transposed else pixels


build = SuperResolution
