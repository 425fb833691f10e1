"""What runs on the node: Snakemake, for one job, watched over by submitit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import psutil
from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

TERMINATED = 143
KILL_WAIT_S = 900  # longest wait for the SIGKILL that follows a SIGTERM of SLURM
POLL_S = 0.2


@dataclass
class SnakemakeJob:
    """A callable for submitit that runs a shell command and returns its exit status.

    submitit's signal (a time limit near, or a pre-emption) ends the command's processes and requeues the job: SIGTERM
    first, so that they can save their state, SIGKILL after `grace_s` seconds. SIGTERM to the job itself, from
    `scontrol requeue`, `scancel` or a pre-emption without submitit's signal, is passed on in the same way; no result is
    left then, because SLURM may start the job again.

    Attributes
    ----------
    command
        For `/bin/sh`.
    grace_s
        Seconds between SIGTERM and SIGKILL.
    devices
        GPUs that the command sees; None: all those that it is given by the cluster.
    requeues
        How often the job was requeued by submitit so far.
    max_restarts
        How often SLURM may start the job again, for whatever reason; None: without end.

    Raises
    ------
    RuntimeError
        When it is called, if SLURM started the job again more often than that.
    """

    command: str
    grace_s: float
    devices: Sequence[str] | None = None
    requeues: int = 0
    max_restarts: int | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __call__(self) -> int:
        """Run the command; return its exit status."""
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        if self.max_restarts is not None and restarts > self.max_restarts:
            raise RuntimeError(f"SLURM started the job again {restarts} times: {self.max_restarts} are allowed")
        if self.requeues:
            print(f"requeued {self.requeues} times so far", flush=True)
        environment = dict(os.environ)
        if self.devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.devices)
        # SLURM sends its signals to all processes of a job: only this one answers to submitit's, and the shell outlives
        # a SIGTERM as long as its command does.
        shield = f"trap '' {JobEnvironment.USR_SIG}; trap : TERM; "
        with self._passing_on_sigterm() as terminated:
            # On this machine, a group of its own keeps the terminal's Ctrl-C away from a job that may be detached.
            group = None if _on_slurm() else 0
            self.process = subprocess.Popen(shield + self.command, shell=True, env=environment, process_group=group)
            # Not wait(): its lock would hide the command's end from a signal handler.
            while self.process.poll() is None:
                time.sleep(POLL_S)
            status = self.process.returncode
            if terminated and status != 0:
                _wait_for_kill()
                raise SystemExit(TERMINATED)
        return status

    def checkpoint(self) -> DelayedSubmission:
        """End the command's processes; return what submitit shall run when the job starts again."""
        self.stop()
        return DelayedSubmission(replace(self, requeues=self.requeues + 1, process=None))

    def stop(self) -> None:
        """End the command's processes, if it runs."""
        if self.process is not None:
            end([self.process.pid], self.grace_s)

    @contextlib.contextmanager
    def _passing_on_sigterm(self) -> Iterator[list[int]]:
        """Pass SIGTERM on to the command's processes; the list holds the signals that came."""
        came: list[int] = []
        if threading.current_thread() is not threading.main_thread():  # in process: Snakemake handles its signals
            yield came
            return

        def handle(signum: int, _frame: object) -> None:
            came.append(signum)
            if self.process is not None:
                _send(_tree([self.process.pid]), signal.SIGTERM)

        previous = signal.signal(signal.SIGTERM, handle)
        try:
            yield came
        finally:
            signal.signal(signal.SIGTERM, previous)


def end(pids: Sequence[int], grace_s: float) -> None:
    """End processes and all their descendants: SIGTERM, and SIGKILL to those alive after `grace_s` seconds."""
    processes = _tree(pids)
    _send(processes, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    _send([process for process in processes if _alive(process)], signal.SIGKILL)


def _tree(pids: Sequence[int]) -> list[psutil.Process]:
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            processes += [*root.children(recursive=True), root]
    return processes


def _send(processes: Sequence[psutil.Process], signum: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


def _alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that ended but was not waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait_for_kill() -> None:
    """Wait for the SIGKILL of SLURM: a job that ends before it counts as failed instead of requeued."""
    if _on_slurm():
        time.sleep(KILL_WAIT_S)


def _on_slurm() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
