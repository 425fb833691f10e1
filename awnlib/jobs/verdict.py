"""Whether a study is complete, and what to do when it is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from awnlib.files import atomic_path
from awnlib.jobs.records import read_record


class StudyFailedError(RuntimeError):
    """Some cells of a study have no result."""


def check_study(records: Sequence[Path], complete: Path, *, checkpoints: Path) -> None:
    """Write the file `complete` and remove the checkpoints if every job of a study succeeded.

    Otherwise clear the records of the jobs that failed, or were skipped because another failed, so that the next call
    of the workflow tries them again. A run that diverged would diverge again: its record stays, until its settings
    change.

    Parameters
    ----------
    records
        The records of all jobs.
    complete
        File to write; holds the number of jobs.
    checkpoints
        The folder of the trainings' resume points; it need not exist.

    Raises
    ------
    StudyFailedError
        If a job has no result; the message lists all of them with the reason.
    """
    found = {path: read_record(path) for path in records}
    lost = {path: record for path, record in found.items() if record.state != "ok"}
    if lost:
        for path, record in lost.items():
            if record.state != "diverged":
                path.unlink()
        lines = [f"  {path.parent}: {record.stage} {record.state}: {record.error}" for path, record in lost.items()]
        raise StudyFailedError(
            f"{len(lost)} of {len(found)} jobs have no result; tables and figures were made without them:\n"
            + "\n".join(lines)
            + "\nThe same command tries failed jobs again; a run that diverged waits for other settings."
        )
    with atomic_path(complete) as temporary:
        temporary.write_text(json.dumps({"jobs": len(found)}) + "\n", encoding="utf-8")
    shutil.rmtree(checkpoints, ignore_errors=True)
