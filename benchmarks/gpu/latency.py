"""How long an answer takes at each width: of the network that has all widths and of copies, one image and a batch."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.deploy.extract import extract
from awnlib.models import SlimmableModel
from benchmarks.gpu.ratios import measure_each
from benchmarks.gpu.settings import Settings
from benchmarks.measure import Benchmark, Case, Ratio
from benchmarks.workload import Options, create_network, random_batch, synchronise

WIDTHS = {"lenet_3c1l": [1.0, 0.75, 0.5, 0.25], "mobilenet_v2": [1.0, 0.75, 0.5, 0.35]}
SHAPE = (3, 32, 32)
PASSES = 10  # in a measurement
DYNAMIC, EXTRACTED, FOLDED = "dynamic", "extracted", "folded"
CHANNELS_LAST, BFLOAT16 = "folded, channels_last", "folded, channels_last, bfloat16"


def run(name: str, settings: Settings, folder: Path) -> int:
    """Measure every network and width that has no file yet; return the exit status of the part."""
    cells = [(model, width_mult) for model, widths in WIDTHS.items() for width_mult in widths]
    cells = cells[3:4] if settings.tiny else cells
    makers = {f"{model}_{width_mult:g}": partial(_benchmarks, model, width_mult) for model, width_mult in cells}
    return measure_each(makers, settings, folder)


def _benchmarks(name: str, width_mult: float, options: Options) -> list[Benchmark]:
    """Return the comparison of ways to answer at one width, in ms for a batch, with the network that has all."""
    model = create_network(name, "awn", options, switches=WIDTHS[name], input_shape=SHAPE, num_classes=10).eval()
    cases: dict[str, Case] = {}
    ratios: list[Ratio] = []
    for batch_size in sorted({1, options.batch_size}):
        found = {f"{kind}, batch {batch_size}": case for kind, case in _cases(model, width_mult, batch_size, options)}
        cases |= found
        first, *others = found
        ratios += [Ratio(other, first) for other in others]
    return [Benchmark(f"{name} at {width_mult:g}", cases, ratios, timed=False)]


def _cases(model: SlimmableModel, width_mult: float, batch_size: int, options: Options) -> list[tuple[str, Case]]:
    images, _ = random_batch(options, shape=SHAPE, memory_format=torch.contiguous_format)
    images = images[:batch_size]
    swapped = images.to(memory_format=torch.channels_last)
    folded: Any = [extract(model, width_mult, fold_bn=True) for _ in range(3)]
    folded[1].to(memory_format=torch.channels_last)
    folded[2].to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    return [
        (DYNAMIC, partial(_pass_ms, model, swapped, options, width_mult=width_mult)),
        (EXTRACTED, partial(_pass_ms, extract(model, width_mult), images, options)),
        (FOLDED, partial(_pass_ms, folded[0], images, options)),
        (CHANNELS_LAST, partial(_pass_ms, folded[1], swapped, options)),
        (BFLOAT16, partial(_pass_ms, folded[2], swapped.bfloat16(), options)),
    ]


@torch.inference_mode()
def _pass_ms(network: nn.Module, images: Tensor, options: Options, *, width_mult: float | None = None) -> float:
    """Return how long a pass takes in a row of passes, after one that warms up."""
    if isinstance(network, SlimmableModel) and width_mult is not None:
        network.set_width_mult(width_mult)
    network(images)
    synchronise(options)
    started, passes = time.perf_counter(), 1 if options.smoke else PASSES
    for _ in range(passes):
        network(images)
    synchronise(options)
    return 1000 * (time.perf_counter() - started) / passes
