"""One training step of an any-width WDSR: one pass beside separate passes and a plain network of the same channels.

Eight blocks as in US-Nets' figure 4, with its fewest channels. In the small network of
`configs/super_resolution_small.yaml` the last layers, whose outputs every width has, are a larger part of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from awnlib.models import SlimmableModel, create_model
from awnlib.one_pass import backward_at_full_width, channel_counts, outputs_of_prefixes
from awnlib.tasks._supervised import backward_each_width
from benchmarks.measure import Benchmark, Case, Ratio, at_least, at_most
from benchmarks.workload import Options, as_in_training, step

PATCH, SCALE, BATCH_SIZE = 24, 2, 16
SMALL = ", small network"
WIDTHS = [1.0, 0.5, 0.625, 0.875]  # inner widths whose mean is that of random ones
ONE_PASS, FOUR_PASSES, ANY_WIDTH_PASSES = "one pass, 4 widths", "US-Net, 4 passes", "4 passes"
PLAIN = "plain, as many channels"


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of training steps."""
    options = replace(options, batch_size=min(options.batch_size, BATCH_SIZE))
    batch = _batch(options)
    cases = _cases(32, 8, batch, options)
    small = {
        f"{name}{SMALL}": case for name, case in _cases(16, 2, batch, options).items() if name in (PLAIN, ONE_PASS)
    }
    ratios = [
        Ratio(ONE_PASS, PLAIN, at_most(1.15)),
        Ratio(ANY_WIDTH_PASSES, ONE_PASS, at_least(2)),
        Ratio(FOUR_PASSES, ONE_PASS),
        Ratio(f"{ONE_PASS}{SMALL}", f"{PLAIN}{SMALL}"),
    ]
    return [Benchmark("super_resolution", cases | small, ratios)]


def _batch(options: Options) -> tuple[Tensor, Tensor]:
    images, targets = (torch.randn(options.batch_size, 3, side, side) for side in (PATCH, SCALE * PATCH))
    images = images.to(device=options.device, memory_format=torch.channels_last)
    return images, targets.to(options.device)


def _cases(channels: int, blocks: int, batch: tuple[Tensor, Tensor], options: Options) -> dict[str, Case]:
    """Return the training steps of networks of one size."""
    images, targets = batch
    plain = as_in_training(_PlainNetwork(channels, blocks), options)
    network = partial(_network, channels, blocks, options)
    return {
        PLAIN: step(plain, lambda: F.l1_loss(plain(images), targets).backward()),  # type: ignore[no-untyped-call]
        ONE_PASS: _one_pass_step(network("triangular"), images, targets),
        ANY_WIDTH_PASSES: _passes_step(network("triangular"), images, targets),
        FOUR_PASSES: _passes_step(network("sliced"), images, targets),
    }


class _PlainBlock(nn.Module):
    """Two normalised convolutions, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand, self.reduce = _conv(channels, 4 * channels), _conv(4 * channels, channels)

    def forward(self, input: Tensor) -> Tensor:
        output: Tensor = input + self.reduce(F.relu(self.expand(input)))
        return output


class _PlainNetwork(nn.Module):
    """WDSR as its authors write it, but for the mean of the images."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        body, outputs = [_PlainBlock(channels) for _ in range(blocks)], 3 * SCALE**2
        self.body = nn.Sequential(_conv(3, channels), *body, _conv(channels, outputs), nn.PixelShuffle(SCALE))
        self.skip = nn.Sequential(_conv(3, outputs, 5), nn.PixelShuffle(SCALE))

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.body(images) + self.skip(images)
        return output


def _conv(read: int, left: int, size: int = 3) -> nn.Module:
    conv: nn.Module = weight_norm(nn.Conv2d(read, left, size, padding=size // 2))
    return conv


def _network(channels: int, blocks: int, options: Options, layer: str) -> SlimmableModel:
    model = create_model(
        "wdsr",
        layer=layer,
        dense_base=layer == "triangular",
        input_shape=(3, PATCH, PATCH),
        num_classes=3 * SCALE**2,
        base_width_mult=channels / 32,
        min_width_mult=WIDTHS[1],
        options={"num_blocks": blocks},
    )
    return as_in_training(model, options)


def _one_pass_step(model: SlimmableModel, images: Tensor, targets: Tensor) -> Callable[[], None]:
    counts = channel_counts(model, WIDTHS).to(images.device)

    def losses() -> tuple[Tensor, None]:
        outputs = outputs_of_prefixes(model, images, counts, "each")
        return torch.stack([F.l1_loss(one, targets) for one in outputs]), None

    return step(model, partial(backward_at_full_width, model, losses))


def _passes_step(model: SlimmableModel, images: Tensor, targets: Tensor) -> Callable[[], None]:
    def loss(outputs: Tensor, teacher: Tensor | None) -> Tensor:
        return F.l1_loss(outputs, targets)

    return step(model, partial(backward_each_width, model, images, WIDTHS, loss, lambda outputs: None))
