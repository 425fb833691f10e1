"""Status records: what became of one job of a study, and what it left.

A job that fails leaves a record that says so instead of an exception, so that the rest of the study, its tables and its
figures go on without it. Files that a job made lie beside its record and are named in it with their digests.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from awnlib.files import atomic_path, sha256, why_unreadable

State = Literal["ok", "diverged", "failed", "skipped"]


class DivergedError(ArithmeticError):
    """A training's loss or weights are no longer finite numbers."""


class RecordError(ValueError):
    """A record that is missing or damaged, or a file that is not the one its record names."""


@dataclass(frozen=True)
class Record:
    """The outcome of one job.

    Attributes
    ----------
    stage
        The name of the workflow's rule, `train_model` say.
    state
        "ok"; "diverged" (the loss became infinite or not a number, here or in the training that the job builds
        on); "failed" (anything else went wrong); "skipped" (a job that it builds on failed).
    error
        What went wrong, None if nothing did.
    cell
        The run's configuration, and the variant of an evaluation.
    measured
        Measured numbers, such as the training time.
    files
        SHA-256 digests of the files beside the record.
    provenance
        Versions, commit and machine.
    """

    stage: str
    state: State
    error: str | None
    cell: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)


def read_record(path: str | Path) -> Record:
    """Read a record; raise a `RecordError` that names the file if it cannot be read or is damaged."""
    try:
        return Record(**json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise RecordError(why_unreadable(path, error)) from None
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path} is damaged ({error}); delete it and run again") from None


def write_record(path: str | Path, record: Record) -> None:
    """Write a record as JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def recorded_file(record_path: str | Path, name: str) -> Path:
    """Return the path of a file that a job left, after comparing it with its digest.

    Raises
    ------
    RecordError
        If the job did not leave it, or it is missing or was changed since.
    """
    path = Path(record_path).with_name(name)
    digest = read_record(record_path).files.get(name)
    if digest is None:
        raise RecordError(f"{record_path} names no file {name}")
    if not path.is_file() or sha256(path) != digest:
        raise RecordError(f"{path} is missing or was changed; delete {record_path} to make it again")
    return path


def run_job(
    path: str | Path,
    stage: str,
    work: Callable[[Path], Mapping[str, Any]],
    *,
    cell: dict[str, Any],
    needs: Sequence[str | Path] = (),
    provenance: Mapping[str, str],
) -> Record:
    """Do one job of a study and write its record, whatever happens.

    Parameters
    ----------
    path
        Where the record goes; the files of the job go into its folder.
    stage, cell, provenance
        As in `Record`.
    work
        The job: is given the folder, puts its files there and returns measured values.
    needs
        Records of the jobs that it builds on; if one of them is not ok, the job is skipped.

    Returns
    -------
    Record
        What was written. An interruption (Ctrl-C, a signal) is not caught and leaves no record.
    """
    path = Path(path)
    common: dict[str, Any] = {"stage": stage, "cell": cell, "provenance": dict(provenance)}
    lost = _lost(needs)
    if lost:
        state: State = "diverged" if lost[0].state == "diverged" else "skipped"
        record = Record(state=state, error=f"{lost[0].stage} {lost[0].state}: {lost[0].error}", **common)
    else:
        record = _attempt(path, work, common)
    write_record(path, record)
    return record


def _lost(needs: Sequence[str | Path]) -> list[Record]:
    """Return the records that are not ok; one that cannot be read counts as failed."""
    lost = []
    for path in needs:
        try:
            record = read_record(path)
        except RecordError as error:
            record = Record("needed job", "failed", str(error), {})
        if record.state != "ok":
            lost.append(record)
    return lost


def _attempt(path: Path, work: Callable[[Path], Mapping[str, Any]], common: dict[str, Any]) -> Record:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        measured = dict(work(path.parent))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        state: State = "diverged" if isinstance(error, DivergedError) else "failed"
        return Record(state=state, error=f"{type(error).__name__}: {error}", **common)
    names = sorted(file.name for file in path.parent.iterdir() if file.is_file() and file != path)
    files = {name: sha256(path.with_name(name)) for name in names if not name.startswith(".")}
    return Record(state="ok", error=None, measured=measured, files=files, **common)
