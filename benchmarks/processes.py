"""Functions run in fresh processes, which have computed nothing before."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from threading import Barrier
from typing import cast

TIMEOUT_S = 120.0
PRELOADED = ["benchmarks.packing", "benchmarks.memory", "torch._dynamo"]  # the last is what the first optimiser loads
_meeting: Barrier | None = None


def run_apart(function: Callable[[], float], *, count: int = 1) -> list[float]:
    """Call a function once in each of some new processes, all at the same time, and return the results."""
    context = _context()
    # Barriers of processes are used as those of threads are, but they are no subclass of them.
    meeting = cast(Barrier, context.Barrier(count))
    with ProcessPoolExecutor(count, context, initializer=_join, initargs=(meeting,)) as pool:
        return [future.result() for future in [pool.submit(_call, function) for _ in range(count)]]


def wait_for_others() -> None:
    """Wait, in a function given to `run_apart`, until all processes are here."""
    assert _meeting is not None
    _meeting.wait(TIMEOUT_S)


def _call(function: Callable[[], float]) -> float:
    wait_for_others()  # so that no process takes two calls
    return function()


def _join(meeting: Barrier) -> None:
    global _meeting
    _meeting = meeting


def _context() -> BaseContext:
    """Return how to start processes: copies of a server that has imported everything, where there can be one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
