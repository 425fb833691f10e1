"""Noticing SIGTERM, so that a training can end between two steps, with its state saved.

Schedulers send it before they take a machine back, and follow it with SIGKILL some time later.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM  # the exit status that a shell reports for a process ended by SIGTERM


@contextmanager
def sigterm_noticed() -> Iterator[threading.Event]:
    """Set the event on SIGTERM instead of ending the process; afterwards SIGTERM does again what it did before.

    Python handles signals in its main thread only: in another thread nothing changes, and the event is never set.
    """
    noticed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noticed
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: noticed.set())
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def sigterm_blocked() -> Iterator[None]:
    """Block SIGTERM in this thread, and in the processes that it starts meanwhile for good, in all of their threads.

    Without effect on systems that cannot.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop(what: str, step: int) -> NoReturn:
    """End the process as one that SIGTERM ended, after saying how far the work has come."""
    print(f"{what}: SIGTERM, stopped after step {step}", file=sys.stderr, flush=True)
    raise SystemExit(TERMINATED)
