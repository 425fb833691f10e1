"""One training step of MobileNetV2 for 32x32 images: one pass beside separate passes and other networks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from awnlib.tasks.classification import backward_widths
from benchmarks.measure import Benchmark, Case, Ratio, at_least, at_most
from benchmarks.train_step import one_pass_step, passes_step
from benchmarks.workload import Options, create_network, random_batch, step

SHAPE = (3, 32, 32)
WIDTHS = [1.0, 0.75, 0.5, 0.35]  # of the papers' experiments with this network
BATCH_SIZE = 32  # a step of 128 images takes seconds on a CPU core
ONE_PASS, SIXTEEN, FOUR_PASSES = "one pass, 4 widths", "one pass, 16 widths", "4 passes"
PLAIN, S_NET = "plain, sqrt(2) times the channels", "S-Net, 4 passes"


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of training steps."""
    if options.device == "cpu":
        options = replace(options, batch_size=min(options.batch_size, BATCH_SIZE))
    batch = random_batch(options, shape=SHAPE)
    awn = partial(create_network, "mobilenet_v2", "awn", options, input_shape=SHAPE)
    counts = {name: channels.full for name, channels in awn().channels.items()}
    plain = create_network("mobilenet_v2", "full_width_dense", options, input_shape=SHAPE, channels=counts)
    cases: dict[str, Case] = {
        PLAIN: step(plain, partial(backward_widths, plain, *batch, [1.0])),
        ONE_PASS: one_pass_step(awn(), WIDTHS, *batch),
        SIXTEEN: one_pass_step(awn(), [1 - index / 25 for index in range(16)], *batch),
        FOUR_PASSES: passes_step(awn(), WIDTHS, *batch),
        S_NET: passes_step(
            create_network("mobilenet_v2", "s_net", options, input_shape=SHAPE, switches=WIDTHS), WIDTHS, *batch
        ),
    }
    ratios = [
        Ratio(ONE_PASS, PLAIN, at_most(1.05)),
        Ratio(FOUR_PASSES, ONE_PASS, at_least(2.4)),
        Ratio(SIXTEEN, ONE_PASS),
        Ratio(ONE_PASS, S_NET),
    ]
    return [Benchmark("mobilenet_v2", cases, ratios)]
