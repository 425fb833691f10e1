"""BN statistics computed after training, beside training steps with as many images."""

from __future__ import annotations

from functools import partial

from awnlib.evaluation.recalibrate import recalibrate_bn
from benchmarks.measure import Benchmark, Case, Ratio
from benchmarks.train_step import us_net_step
from benchmarks.workload import WIDTHS, Options, create_lenet, random_batch

RECALIBRATION, TRAINING = "recalibration of 4 widths, 2 batches", "US-Net training, 2 batches"


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of recalibration with training."""
    images, labels = random_batch(options)
    take_step = us_net_step(create_lenet("us_net", options), images, labels)
    cases: dict[str, Case] = {
        RECALIBRATION: partial(recalibrate_bn, create_lenet("us_net", options), [images, images], WIDTHS),
        TRAINING: lambda: [take_step(), take_step()],
    }
    return [Benchmark("calibration", cases, [Ratio(RECALIBRATION, TRAINING)])]
