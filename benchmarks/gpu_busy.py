"""How much of a training step a GPU computes, and so how long it waits for the next kernel: kernels beside the step."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks import train_step
from benchmarks.measure import Benchmark, Case, Ratio
from benchmarks.train_step import FOUR_PASSES, GRAPHS, ONE_PASS, PLAIN, S_NET, US_NET
from benchmarks.workload import Options, synchronise

STEPS = (PLAIN, ONE_PASS, GRAPHS, FOUR_PASSES, S_NET, US_NET)
NUM_STEPS, WARM_UP = 20, 3


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison, in ms for a step: the ratio is the share of the time in which some kernel runs."""
    if options.device != "cuda":
        return [Benchmark("gpu_busy", skipped="kernels of a GPU need a CUDA device")]
    steps = train_step.cases(options)
    cases: dict[str, Case] = {}
    for name in STEPS:
        cases[_kernels(name)] = partial(busy_ms, steps[name], DeviceType.CUDA, options)
        cases[_step(name)] = partial(step_ms, steps[name], options)
    ratios = [Ratio(_kernels(name), _step(name)) for name in STEPS]
    return [Benchmark("gpu_busy", cases, ratios, timed=False, max_rounds=3)]


def _kernels(name: str) -> str:
    return f"kernels: {name}"


def _step(name: str) -> str:
    return f"step: {name}"


def step_ms(take_step: Case, options: Options) -> float:
    """Return how long a step takes when nobody watches, in a row of steps."""
    _take(take_step, WARM_UP, options)
    started = time.perf_counter()
    _take(take_step, NUM_STEPS, options)
    return 1000 * (time.perf_counter() - started) / NUM_STEPS


def busy_ms(take_step: Case, device: DeviceType, options: Options) -> float:
    """Return for how long a device computes in a step, from the profiler, which makes the pauses longer only."""
    _take(take_step, WARM_UP, options)
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == DeviceType.CUDA)
    with profile(activities=kinds) as profiler:
        _take(take_step, NUM_STEPS, options)
    return covered(spans(profiler.events() or [], device)) / 1000 / NUM_STEPS


def spans(events: Iterable[FunctionEvent], device: DeviceType) -> list[tuple[float, float]]:
    """Return start and end, in microseconds, of what a device did; names that code gave to stretches do not count."""
    events = list(events)
    named = {event.name for event in events if event.is_user_annotation}
    return [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == device and event.name not in named
    ]


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of spans."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(end - max(start, until), 0.0)
        until = max(until, end)
    return total


def _take(take_step: Case, count: int, options: Options) -> None:
    for _ in range(count):
        take_step()
    synchronise(options)
