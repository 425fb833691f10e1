"""Measure some or all benchmarks, and write their ratios as a table, a Parquet file and a plot."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch

from awnlib.jobs.memory import keep_freed_memory
from benchmarks import NAMES
from benchmarks.measure import Benchmark, measure
from benchmarks.report import frame_of, heading, table, write
from benchmarks.workload import Options


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for, or a list of arguments."""
    names, options, folder = _parse(arguments)
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows, skipped = [], []
    for index, name in enumerate(names, start=1):
        started = time.perf_counter()
        found: list[Benchmark] = import_module(f"benchmarks.{name}").benchmarks(options)
        for benchmark in found:
            rows += measure(benchmark, options)
            skipped += [f"{benchmark.name} was skipped: {benchmark.skipped}"] if benchmark.skipped else []
        print(f"{name} ({index}/{len(names)}): {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    print(*skipped, sep="\n", end="\n" if skipped else "")
    if rows:
        frame = frame_of(rows, options)
        print(heading(frame), table(frame, "simple"), sep="\n\n")
        write(frame, folder)


def _parse(arguments: Sequence[str] | None) -> tuple[list[str], Options, Path]:
    """Return the benchmarks' names, the options and the folder to write to; leave with a message if any is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"by default all: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=_positive, default=Options.rounds, help="how often each case is measured")
    parser.add_argument("--threads", type=_positive, default=Options.threads)
    parser.add_argument("--batch-size", type=_positive, default=Options.batch_size)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=Options.device)
    parser.add_argument("--smoke", action="store_true", help="one round of the smallest sizes: does everything run?")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"), help="folder for table and plot")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)} (allowed: {', '.join(NAMES)})")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no such device (allowed here: cpu)")
    options = Options(given.rounds, given.threads, given.batch_size, given.device, given.smoke)
    smoke = replace(options, rounds=1, batch_size=2)
    return given.names or list(NAMES), smoke if given.smoke else options, given.output


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, found {number}")
    return number


if __name__ == "__main__":
    main()
