"""Which jobs are still queued or running, and what became of those that are not; none of it needs accounting."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import psutil

ABSENCES = 3  # a job is gone when SLURM did not list it so many times in a row
TIMEOUT_S = 60
FIELDS = ("JobArrayID", "State", "RestartCnt")


class Queued(NamedTuple):
    """A job in SLURM's queue: its state and how often it was started again."""

    state: str
    restarts: int


class Watch:
    """Finds the jobs that left SLURM's queue."""

    def __init__(self) -> None:
        self.absences: Counter[str] = Counter()

    def gone(self, job_ids: Iterable[str], queue: dict[str, Queued] | None) -> set[str]:
        """Return the jobs that were absent in the last looks at the queue; a failed look (None) tells nothing."""
        if queue is None:
            return set()
        gone = set()
        for job_id in job_ids:
            self.absences[job_id] = 0 if job_id in queue else self.absences[job_id] + 1
            if self.absences[job_id] >= ABSENCES:
                gone.add(job_id)
        return gone


def slurm_queue() -> dict[str, Queued] | None:
    """Return this user's queued and running jobs, or None if SLURM did not answer."""
    columns = ",".join(f"{name}:40" for name in FIELDS)
    output = _answer("squeue", "--noheader", "--array", "--me", "--Format", columns)
    if output is None:
        return None
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: Queued(row[1], int(row[2])) for row in rows if len(row) == len(FIELDS)}


def slurm_folders() -> dict[str, str] | None:
    """Return the folders of the scripts of this user's queued and running jobs, or None if SLURM did not answer."""
    output = _answer("squeue", "--noheader", "--array", "--me", "--format", "%i %o")
    if output is None:
        return None
    rows = [line.split(maxsplit=1) for line in output.splitlines()]
    return {row[0]: os.path.dirname(row[1]) for row in rows if len(row) == 2}


def slurm_fate(job_id: str) -> str:
    """Return what SLURM tells of a job that left the queue: its state and exit code, from sacct or else scontrol."""
    output = _answer("sacct", "-n", "-X", "-P", "-o", "State,ExitCode,Reason", "-j", job_id)
    if output and output.strip():
        state, exit_code, *_ = output.splitlines()[0].split("|")
        return f"state {state}, exit code {exit_code} (sacct)"
    output = _answer("scontrol", "--oneliner", "show", "job", job_id)
    found = dict(re.findall(r"\b(JobState|ExitCode|Reason)=(\S+)", output or ""))
    if "JobState" in found:
        return f"state {found['JobState']}, reason {found.get('Reason')}, exit code {found.get('ExitCode')} (scontrol)"
    return "state unknown, SLURM does not remember it"


def process_runs(job_id: str, folder: str) -> bool:
    """Return whether a local job's process still runs; another process with its number does not count."""
    try:
        process = psutil.Process(int(job_id))
        return process.status() != psutil.STATUS_ZOMBIE and folder in process.cmdline()
    except psutil.Error:
        return False


def _answer(*command: str) -> str | None:
    """Return what a program prints, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
