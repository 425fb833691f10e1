"""Tickets: one small file for each submitted job, so that a restarted Snakemake finds the jobs that it left behind.

A ticket is written just before submission, gets the job's number right after it, and is removed once Snakemake has
dealt with the job's result: whenever Snakemake is killed, a job that may run has a ticket.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface


class TicketError(ValueError):
    """A ticket that cannot be read."""


@dataclass(frozen=True)
class Ticket:
    """A submitted job.

    Attributes
    ----------
    job_id
        The job's number in SLURM ("12" or "12_3"), or the process number of a local job; empty until it is known.
    cluster
        Where it was submitted to: "slurm" or "local".
    folder
        Where submitit put its files: a folder of this submission alone, because job numbers come again.
    work
        Digest of what the job does; a job that does something else must not be taken for this one.
    devices
        GPUs that a local job was given.
    outputs
        The files that it makes.
    task
        Its number in the array that it is submitted with; empty if it is submitted alone.
    """

    job_id: str
    cluster: str
    folder: str
    work: str
    devices: list[str]
    outputs: list[str]
    task: str = ""


class Tickets:
    """The tickets in a folder, under keys that say which files a job makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return the file of a ticket."""
        return self.folder / f"{key}.json"

    def write(self, key: str, ticket: Ticket) -> None:
        """Write a ticket, atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(ticket), indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path(key))

    def read(self, key: str) -> Ticket | None:
        """Return a ticket, or None if there is none; raise a `TicketError` if it is damaged."""
        try:
            return Ticket(**json.loads(self.path(key).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise TicketError(f"{self.path(key)} is damaged ({error})") from None

    def remove(self, key: str) -> None:
        """Remove a ticket, if there is one."""
        self.path(key).unlink(missing_ok=True)


def job_key(job: JobExecutorInterface) -> str:
    """Return what identifies a job across runs of Snakemake: its rules and the files it makes (or its wildcards)."""
    parts = sorted([str(part.rule.name), _texts(part.output) or str(part.wildcards_dict)] for part in _parts(job))
    return _digest(parts)


def job_work(job: JobExecutorInterface) -> str:
    """Return a digest of what a job does: its inputs with their times, parameters and shell command."""
    return _digest([[_input_times(part.input), _params(part), part.rule.shellcmd] for part in _parts(job)])


def _parts(job: Any) -> list[Any]:
    return sorted(job.jobs, key=lambda part: str(part.rule.name)) if job.is_group() else [job]


def _texts(paths: Iterable[Any]) -> list[str]:
    return [str(path) for path in paths]


def _input_times(paths: Iterable[Any]) -> list[list[Any]]:
    return [[path, os.stat(path).st_mtime_ns if os.path.exists(path) else None] for path in _texts(paths)]


def _params(part: Any) -> str:
    return repr(sorted((str(name), repr(value)) for name, value in part.params._allitems()))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
