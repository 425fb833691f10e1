"""Processes that end with the one that started them, are asked before they are killed, and take theirs with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from awnlib.jobs.interrupt import sigterm_noticed

GRACE_S = 10.0  # from SIGTERM, upon which a training saves a resume point, to SIGKILL
POLL_S = 0.1


def run_limited(command: Sequence[str], log: Path, limit_s: float) -> tuple[int, bool]:
    """Run a command in a session of its own, with its output appended to a log.

    Parameters
    ----------
    command
        Its process should call `end_with_parent`.
    log
        Where both streams go.
    limit_s
        Seconds after which all processes of the session get SIGTERM, and `GRACE_S` later SIGKILL.

    Returns
    -------
    tuple
        The exit status, and whether the limit was reached. If this process gets SIGTERM meanwhile, it ends the session
        in the same way and raises a SystemExit.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + limit_s
    with log.open("ab") as output, sigterm_noticed() as ended:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
        try:
            while process.poll() is None and time.monotonic() < deadline and not ended.is_set():
                time.sleep(POLL_S)
            stopped = process.poll() is None
        finally:
            _stop(process)
        if ended.is_set():
            sys.exit(128 + signal.SIGTERM)
    return process.returncode, stopped


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _signal(process, signal.SIGKILL)
    process.communicate()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def end_with_parent() -> None:
    """From now on, send SIGTERM to all of this session when the process that started it ends, however it does."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # the end of the pipe that the parent holds
    os.killpg(os.getpgid(0), signal.SIGTERM)
