"""Measure on a GPU, in a few minutes, what nothing else can tell; call it again to go on."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu import PARTS
from benchmarks.gpu.children import GRACE_S, run_limited
from benchmarks.gpu.settings import DATASETS, Settings
from benchmarks.gpu.state import DONE, State, outcome_of
from benchmarks.gpu.summary import write_summary

MOST_AT_A_TIME = 12  # trainings that share a GPU


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the parts that the command line asks for, one after another; leave with status 1 if one failed."""
    parts, minutes, settings = _parse(arguments)
    settings.out.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + 60 * minutes
    failed = False
    for index, name in enumerate(parts):
        later = sum(PARTS[other].share for other in parts[index + 1 :])
        limit_s = ends_at - time.monotonic() - later * 60 * minutes - GRACE_S
        outcome = _do(name, settings, limit_s)
        failed |= outcome.startswith("failed")
        _say(f"{name}: {outcome}")
        write_summary(settings.out)
    sys.exit(int(failed))


def _do(name: str, settings: Settings, limit_s: float) -> str:
    """Do one part, unless it was done with the same settings, and return what became of it."""
    folder = settings.out / name
    before = State.load(folder)
    if before.outcome == DONE and before.asked == settings.asked():
        return DONE
    if limit_s <= 0:
        return "no time is left"
    _say(f"{name}: at most {limit_s:.0f} s")
    started = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.gpu.part", name, settings.as_json()]
    status, stopped = run_limited(command, settings.out / "logs" / f"{name}.log", limit_s)
    outcome = outcome_of(status, stopped=stopped)
    seconds = round(before.wall_s + time.monotonic() - started, 1)
    State(outcome, settings.asked(), before.calls + 1, seconds).save(folder)
    return outcome


def _parse(arguments: Sequence[str] | None) -> tuple[list[str], float, Settings]:
    """Return the parts, the minutes for all of them and the settings; leave with a message if any is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of all results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts of this call")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--data", type=Path, help="folder of the data sets; default: AWN_DATA")
    parser.add_argument("--seeds", type=_positive, default=Settings.seeds, help="trainings of each cell, in order")
    parser.add_argument("--at-a-time", type=_positive, help="trainings at once; default: a core for each")
    parser.add_argument("--mobilenet-epochs", type=_positive, default=Settings.mobilenet_epochs)
    parser.add_argument(
        "--studies", nargs="+", default=[], help="configuration files that the part of this name trains"
    )
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes: does everything run?")
    given = parser.parse_args(arguments)
    if given.minutes <= 0:
        parser.error(f"--minutes must be above 0, found {given.minutes}")
    missing = [file for file in given.studies if not Path(file).is_file()]
    if missing:
        parser.error(f"--studies: there is no file {missing[0]}")
    settings = Settings(
        out=given.out.absolute(),
        data=given.data.absolute() if given.data else None,
        device=given.device,
        datasets=tuple(given.datasets),
        seeds=1 if given.tiny else given.seeds,
        at_a_time=given.at_a_time or max(min(_num_cores() - 1, MOST_AT_A_TIME), 1),
        mobilenet_epochs=1 if given.tiny else given.mobilenet_epochs,
        studies=tuple(given.studies),
        tiny=given.tiny,
    )
    return [name for name in PARTS if name in given.parts], given.minutes, settings


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, found {number}")
    return number


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
