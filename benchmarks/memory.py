"""How much memory a training step or a sweep needs at most, above what the process held before."""

from __future__ import annotations

import platform
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from awnlib.evaluation.sweep import sweep_widths
from benchmarks import train_step
from benchmarks.measure import Benchmark, Case, Ratio
from benchmarks.processes import run_apart
from benchmarks.train_step import ALL_WIDTHS, FOUR_PASSES, ONE_PASS, PLAIN
from benchmarks.workload import Options, create_lenet, random_batch

MIB = 2**20
SMOKE_BATCH_SIZE = 16  # with fewer images all fits into memory that is held already


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of peaks, in MiB."""
    if options.smoke:
        options = replace(options, batch_size=SMOKE_BATCH_SIZE)
    steps = (PLAIN, ONE_PASS, ALL_WIDTHS, FOUR_PASSES)
    cases = {f"step: {name}": partial(_peak_mib_apart, train_step.cases, name, options) for name in steps}
    cases |= {
        name: partial(_peak_mib_apart, _sweeps, name, options) for name in _sweeps(replace(options, batch_size=1))
    }
    ratios = [Ratio(f"step: {name}", f"step: {PLAIN}") for name in (ONE_PASS, ALL_WIDTHS, FOUR_PASSES)]
    ratios += [Ratio(f"sweep of all widths, {n} classes", f"sweep of one width, {n} classes") for n in (10, 1000)]
    rounds = 3 if options.device == "cpu" else 1  # a GPU's allocator counts, the same each time
    return [Benchmark("memory", cases, ratios, unit="MiB", timed=False, max_rounds=rounds)]


def _sweeps(options: Options) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for num_classes in (10, 1000):
        model = create_lenet("awn", options, num_classes=num_classes)
        batch = random_batch(options, num_classes=num_classes)
        cases[f"sweep of one width, {num_classes} classes"] = partial(sweep_widths, model, [batch], [1.0])
        cases[f"sweep of all widths, {num_classes} classes"] = partial(sweep_widths, model, [batch])
    return cases


def _peak_mib_apart(cases: Callable[[Options], dict[str, Case]], name: str, options: Options) -> float:
    return run_apart(partial(_peak_mib, cases, name, options))[0]


def _peak_mib(cases: Callable[[Options], dict[str, Case]], name: str, options: Options) -> float:
    torch.set_num_threads(options.threads)
    cases(replace(options, batch_size=2))[name]()  # loads code, which counts as memory too
    case = cases(options)[name]
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        case()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    before = reset_peak()
    case()
    return (peak_bytes() - before) / MIB


def reset_peak() -> int:
    """Forget the peak so far, where the kernel can, and return the new one: what the process holds now, in bytes."""
    if platform.system() == "Linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # proc(5)
    return peak_bytes()


def peak_bytes() -> int:
    """Return the most memory that the process held, in bytes."""
    if platform.system() == "Linux":  # where `ru_maxrss` has the memory of the parent process, and no reset
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
        assert found is not None
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
