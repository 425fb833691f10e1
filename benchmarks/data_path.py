"""Augmented training batches by tensor operations, beside a `DataLoader` with torchvision transforms."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from awnlib.data import ImageData
from awnlib.data.batches import TrainingImages, epoch_order
from awnlib.seeding import rng
from benchmarks.image_loader import PilImages, endless_loader
from benchmarks.measure import Benchmark, Case, Ratio, at_least
from benchmarks.workload import CLASSES, Options

BATCHED, BATCHED_PLAIN = "batched", "batched, not augmented"
TWO_WORKERS, NO_WORKERS = "DataLoader, 2 workers", "DataLoader, no workers"
TWO_WORKERS_PLAIN = "DataLoader, 2 workers, not augmented"
PREFETCHED = 2  # batches that each worker prepares ahead, the default of `DataLoader`
IDLE_S = 0.3  # long enough for the workers of all cases to fill their queues


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of input pipelines, in ms for some batches."""
    num_batches = 2 if options.smoke else 10
    data = _random_data(max(num_batches * options.batch_size, 64 if options.smoke else 10_000))
    cases = {
        BATCHED: _batched(data, "crop_flip", num_batches, options),
        BATCHED_PLAIN: _batched(data, "none", num_batches, options),
    }
    before: dict[str, Case] = {name: _idle(options) for name in cases}
    for name, workers, augment in ((TWO_WORKERS, 2, True), (NO_WORKERS, 0, True), (TWO_WORKERS_PLAIN, 2, False)):
        images = PilImages(data.train_images, data.train_labels, data.mean, data.std, augment=augment)
        batches = iter(endless_loader(images, options.batch_size, workers=workers, pinned=options.device == "cuda"))
        cases[name] = partial(_take, batches, num_batches, options)
        before[name] = partial(_drop_prefetched, batches, workers * PREFETCHED, options)
    ratios = [
        Ratio(TWO_WORKERS, BATCHED, at_least(12)),
        Ratio(NO_WORKERS, BATCHED),
        Ratio(TWO_WORKERS_PLAIN, BATCHED_PLAIN),
    ]
    return [Benchmark("data_path", cases, ratios, before=before)]


def _random_data(num_images: int) -> ImageData:
    images = torch.randint(256, (num_images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(CLASSES, (num_images,))
    classes, middle = tuple(map(str, range(CLASSES))), (0.5,) * 3
    return ImageData("random", images, labels, images[:1], labels[:1], classes, middle, middle, "random numbers")


def _batched(data: ImageData, augment: str, num_batches: int, options: Options) -> Case:
    images, generator = TrainingImages(data, augment, torch.device(options.device)), rng(0, "augment")
    order = epoch_order(len(images), options.batch_size, seed=0, epoch=0)[:num_batches]
    return lambda: [images.batch(indices, generator) for indices in order]


def _take(batches: Iterator[tuple[Tensor, Tensor]], num_batches: int, options: Options) -> None:
    for _ in range(num_batches):
        images, labels = next(batches)
        images.to(options.device, non_blocking=True), labels.to(options.device, non_blocking=True)


def _idle(options: Options) -> Case:
    return partial(time.sleep, 0.0 if options.smoke else IDLE_S)


def _drop_prefetched(batches: Iterator[tuple[Tensor, Tensor]], num_batches: int, options: Options) -> None:
    """Take what the workers prepared while other cases ran: from then on they work while they are waited for."""
    _idle(options)()
    _take(batches, num_batches, options)
