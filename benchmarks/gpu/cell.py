"""One training and its evaluations, in a process of its own: the jobs of the workflow, one after another.

`python -m benchmarks.gpu.cell <study.yaml> <run> <prepared images> <results of the study>`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from awnlib.jobs.memory import keep_freed_memory
from awnlib.jobs.records import RecordError, read_record
from awnlib.studies.base import MODEL
from awnlib.studies.job import AnyJob
from awnlib.studies.shell import do_job
from awnlib.studies.widths.cells import evaluations, find_run
from awnlib.studies.widths.collect import run_record, sweep_record
from awnlib.studies.widths.config import StudyConfig, load_study
from awnlib.studies.widths.stages import SweepWidths, TrainModel
from awnlib.training.run import RunConfig


def main() -> None:
    """Do what the command line names."""
    study, (run_name, data, results) = load_study(sys.argv[1]), sys.argv[2:]
    keep_freed_memory()
    torch.set_num_threads(1)
    work(study, find_run(study, run_name), Path(data), Path(results))


def work(study: StudyConfig, run: RunConfig, data: Path, results: Path) -> None:
    """Train a run and evaluate it, except for what was done before; a job that fails leaves a record that says so."""
    training, sweeps = TrainModel(study, run), [SweepWidths(study, one) for one in evaluations([run])]
    trained = results / training.record
    if not is_done(trained, run) or _lost_its_model(trained):
        do_job(training, results, data=data)
    for sweep in sweeps:
        if not is_done(results / sweep.record, run):
            for job in _chain(sweep):
                if job != training:
                    do_job(job, results, data=data)


def _chain(job: AnyJob) -> Iterator[AnyJob]:
    """Yield the jobs that one builds on, each after those that it builds on itself, and the job."""
    for need in job.needs.values():
        yield from _chain(need)
    yield job


def _lost_its_model(trained: Path) -> bool:
    """Whether a training left a model that is not there any more, because models are not worth carrying around."""
    return read_record(trained).state == "ok" and not trained.with_name(MODEL).exists()


def is_done(record: Path, run: RunConfig) -> bool:
    """Whether a job ended, with results or because its training diverges, and had the settings of this run."""
    try:
        found = read_record(record)
    except RecordError:
        return False
    return found.state in ("ok", "diverged") and found.cell["run"] == run.model_dump(mode="json")


def is_finished(results: Path, run: RunConfig) -> bool:
    """Whether a run and all its evaluations are done."""
    records = [run_record(results, run), *(sweep_record(results, one) for one in evaluations([run]))]
    return all(is_done(record, run) for record in records)


if __name__ == "__main__":
    main()
