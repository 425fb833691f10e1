"""The benchmarks of `python -m benchmarks`, one after another, and their rows together."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import pandas as pd
import torch

from awnlib.jobs.memory import keep_freed_memory
from benchmarks import NAMES
from benchmarks.gpu.settings import Settings
from benchmarks.measure import Benchmark, measure
from benchmarks.report import frame_of, write
from benchmarks.workload import Options

TINY = ("calibration",)


def run(name: str, settings: Settings, folder: Path) -> int:
    """Measure every benchmark that has no file yet; return the exit status of the part."""
    chosen = TINY if settings.tiny else NAMES
    return measure_each({each: partial(_benchmarks, each) for each in chosen}, settings, folder)


def _benchmarks(name: str, options: Options) -> list[Benchmark]:
    found: list[Benchmark] = import_module(f"benchmarks.{name}").benchmarks(options)
    return found


def measure_each(makers: Mapping[str, Callable[[Options], list[Benchmark]]], settings: Settings, folder: Path) -> int:
    """Measure the benchmarks of each name, keep its rows in a file of its own, and write all rows so far as one table.

    Returns
    -------
    int
        0, or 1 if some benchmark failed; the others are measured nevertheless.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    options = Options(device=settings.device)
    if settings.tiny:
        options = Options(device=settings.device, rounds=1, batch_size=2, smoke=True)
    failed = [name for name, make in makers.items() if not _measured(folder / "each" / name, make, options)]
    print(*(f"{name} failed" for name in failed), sep="\n")
    return int(bool(failed))


def _measured(folder: Path, make: Callable[[Options], list[Benchmark]], options: Options) -> bool:
    """Measure what one name stands for, if it was not; return False if that failed."""
    if (folder / "benchmarks.parquet").exists():
        return True
    try:
        found = make(options)
        rows = [row for benchmark in found for row in measure(benchmark, options)]
        print(*(f"{one.name} was skipped: {one.skipped}" for one in found if one.skipped), sep="\n", flush=True)
        if rows:
            write(frame_of(rows, options), folder)
            write(_together(folder.parent), folder.parent.parent)
    except Exception:
        traceback.print_exc()
        return False
    return True


def _together(folder: Path) -> pd.DataFrame:
    """Return the rows of all names, in the order in which they were measured."""
    files = sorted(folder.glob("*/benchmarks.parquet"), key=lambda file: file.stat().st_mtime_ns)
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
