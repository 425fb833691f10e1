"""Several training processes side by side on one machine, beside one process that has it all."""

from __future__ import annotations

import os
import time
from functools import partial

import torch

from awnlib.jobs.memory import keep_freed_memory
from benchmarks.measure import Benchmark, Ratio, at_least
from benchmarks.processes import run_apart, wait_for_others
from benchmarks.train_step import one_pass_step
from benchmarks.workload import WIDTHS, Options, create_lenet, random_batch, synchronise


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of numbers of processes, in ms for a step of any of them."""
    if options.device == "cuda":
        sides = {count: f"{count} {'process' if count == 1 else 'processes'}" for count in (1, 2, 4)}
        cases = {name: partial(_step_ms, count, options.threads, options) for count, name in sides.items()}
        ratios = [Ratio(sides[1], sides[count]) for count in (2, 4)]
        return [Benchmark("packing", cases, ratios, timed=False, max_rounds=3)]
    if _num_cores() < 2:
        return [Benchmark("packing", skipped="two processes at once need two cores, and this machine lends one")]
    alone, together = "1 process, 2 threads", "2 processes, 1 thread each"
    cases = {alone: partial(_step_ms, 1, 2, options), together: partial(_step_ms, 2, 1, options)}
    return [Benchmark("packing", cases, [Ratio(alone, together, at_least(1.15))], timed=False)]


def _step_ms(count: int, threads: int, options: Options) -> float:
    return 1000 / sum(run_apart(partial(_steps_per_second, threads, options), count=count))


def _steps_per_second(threads: int, options: Options) -> float:
    """Train for a while, from the moment at which all processes are ready."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    take_step = one_pass_step(create_lenet("awn", options), WIDTHS, *random_batch(options))
    for _ in range(0 if options.smoke else 3):
        take_step()
    synchronise(options)
    wait_for_others()
    num_steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < (0.1 if options.smoke else 2.0):
        take_step()
        num_steps += 1
    synchronise(options)
    return num_steps / (time.perf_counter() - started)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
