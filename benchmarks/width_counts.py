"""How the cost of a training step grows with the number of widths: hardly in one pass, linearly in separate passes."""

from __future__ import annotations

import torch

from benchmarks.measure import Benchmark, Case, Ratio
from benchmarks.train_step import all_widths_step, one_pass_step, passes_step
from benchmarks.workload import Options, create_lenet, random_batch

ONE_PASS_COUNTS, PASSES_COUNTS = (2, 4, 8, 16), (2, 4, 8)
ALL = "one pass, all widths"


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of numbers of widths."""
    batch = random_batch(options)
    cases: dict[str, Case] = {
        _one_pass(n): one_pass_step(create_lenet("awn", options), _evenly(n), *batch) for n in ONE_PASS_COUNTS
    }
    cases[ALL] = all_widths_step(create_lenet("awn", options), *batch)
    cases |= {_passes(n): passes_step(create_lenet("awn", options), _evenly(n), *batch) for n in PASSES_COUNTS}
    one_pass = [Ratio(name, _one_pass(4)) for name in [*map(_one_pass, ONE_PASS_COUNTS), ALL] if name != _one_pass(4)]
    return [Benchmark("width_counts", cases, one_pass + [Ratio(_passes(n), _one_pass(n)) for n in PASSES_COUNTS])]


def _evenly(num_widths: int) -> list[float]:
    widths: list[float] = torch.linspace(1.0, 0.25, num_widths, dtype=torch.float64).tolist()
    return widths


def _one_pass(num_widths: int) -> str:
    return f"one pass, {num_widths} widths"


def _passes(num_widths: int) -> str:
    return f"{num_widths} passes"
