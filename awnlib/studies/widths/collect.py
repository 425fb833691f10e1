"""From the records of all jobs to the tables of a study.

One parquet table of each kind for the whole study; what a failed job should have added is missing from them, and its
row in `runs` or `evaluations` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.jobs.provenance import merge_provenance
from awnlib.jobs.records import Record, read_record, recorded_file
from awnlib.results.columns import COLLECTED, IMAGES
from awnlib.results.schemas import read_table, write_table
from awnlib.studies.widths.cells import (
    Evaluation,
    evaluations,
    runs,
    runs_with_gradients,
    runs_with_residuals,
    runs_with_slimming,
    statistics_columns,
)
from awnlib.studies.widths.config import StudyConfig
from awnlib.studies.widths.stages import MeasureResiduals, SlimWidths, SweepWidths, TrainModel
from awnlib.tasks import task_metrics
from awnlib.training.run import RunConfig

_FROM_RUNS = ("history", "bn_statistics", "bn_drift")


def run_record(results: Path, run: RunConfig) -> Path:
    """Return where a training run's record is, below the results of its study."""
    return results / TrainModel.record_of(run.name)


def sweep_record(results: Path, evaluation: Evaluation) -> Path:
    """Return where an evaluation's record is, below the results of its study."""
    return results / SweepWidths.record_of(evaluation.name)


def residuals_record(results: Path, run: RunConfig) -> Path:
    """Return where the record of a run's residual errors is, below the results of its study."""
    return results / MeasureResiduals.record_of(run.name)


def collect(study: StudyConfig, results: Path, tables: Path) -> None:
    """Write the study-wide tables `runs`, `evaluations`, `sweep`, `history`, `bn_statistics` and `bn_drift`.

    Besides them those of what is measured on demand (`StudyConfig.on_demand`).

    Parameters
    ----------
    study
        Says which records there must be.
    results
        Folder with `runs/`, `sweeps/` and the folders of other stages.
    tables
        Folder for `<table>.parquet`.

    Raises
    ------
    RecordError
        If a record, or a file that it names, is missing or damaged.
    """
    collect_runs(runs(study), results, tables, study=study.study)
    for name in study.on_demand:
        labels = _LABELS_BY_RECORD[name](study, results)
        records = {path: read_record(path) for path in labels}
        origin = merge_provenance([record.provenance for record in records.values()], study=study.study)
        _write_joined(tables, name, labels, records, origin)


def _of_gradients(study: StudyConfig, results: Path) -> dict[Path, str]:
    return {run_record(results, run): run.method_settings.label for run in runs_with_gradients(study)}


def _of_residuals(study: StudyConfig, results: Path) -> dict[Path, str]:
    return {residuals_record(results, run): run.method_settings.label for run in runs_with_residuals(study)}


def _of_slimming(study: StudyConfig, results: Path) -> dict[Path, str]:
    return {results / SlimWidths.record_of(run.name): run.method_settings.label for run in runs_with_slimming(study)}


def _of_images(study: StudyConfig, results: Path) -> dict[Path, str]:
    return {sweep_record(results, evaluation): evaluation.label for evaluation in evaluations(runs(study))}


_LABELS_BY_RECORD = {
    IMAGES: _of_images,
    "gradients": _of_gradients,
    "residuals": _of_residuals,
    "slimming": _of_slimming,
}
"""For each table on demand: of a study's results, the records of the jobs that leave their part of it, with labels."""


def collect_runs(run_table: Sequence[RunConfig], results: Path, tables: Path, *, study: str) -> None:
    """Write the tables of `collect` for some runs and all their evaluations, of a study that is not finished say."""
    trained = [(run, run_record(results, run)) for run in run_table]
    swept = [(evaluation, sweep_record(results, evaluation)) for evaluation in evaluations(run_table)]
    records = {path: read_record(path) for _, path in [*trained, *swept]}
    # Labels as they are now: to rename a method trains nothing.
    labels = {path: cell.label for cell, path in swept} | {path: run.method_settings.label for run, path in trained}
    origin = merge_provenance([record.provenance for record in records.values()], study=study)
    rows = {
        "runs": [_run_row(run, records[path]) for run, path in trained],
        "evaluations": [row for evaluation, path in swept for row in _evaluation_rows(evaluation, records[path])],
    }
    for name in rows:
        write_table(tables / f"{name}.parquet", name, rows[name], origin)
    for name in COLLECTED[2:]:
        paths = [path for _, path in (trained if name in _FROM_RUNS else swept)]
        _write_joined(tables, name, {path: labels[path] for path in paths}, records, origin)


def _write_joined(
    tables: Path, name: str, labels: Mapping[Path, str], records: Mapping[Path, Record], origin: Mapping[str, str]
) -> None:
    """Write a table of the rows that the jobs of these records left, under the labels of today; not of failed jobs."""
    paths = [path for path in labels if records[path].state == "ok"]
    frames = [read_table(recorded_file(path, f"{name}.parquet")).assign(label=labels[path]) for path in paths]
    write_table(tables / f"{name}.parquet", name, _joined(frames), origin)


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame | list[Mapping[str, Any]]:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else []


def _cell(run: RunConfig) -> dict[str, Any]:
    return {"dataset": run.dataset, "model": run.model, "method": run.method, "seed": run.seed}


def _run_row(run: RunConfig, record: Record) -> dict[str, Any]:
    measured = ("num_steps", "train_time_s", "params_stored", "params_full", "resumed")
    threads = record.provenance.get("threads")
    return {
        **_cell(run),
        "label": run.method_settings.label,
        "individual_width": run.individual_width,
        "state": record.state,
        "error": record.error,
        "num_epochs": run.train.num_epochs,
        "batch_size": run.train.batch_size,
        "lr": run.train.lr,
        "weight_decay": run.train.weight_decay,
        "num_widths": record.measured.get("num_widths"),
        "device": record.provenance.get("device"),
        "threads": int(threads) if threads else None,
        **{name: record.measured.get(name) for name in measured},
    }


def _evaluation_rows(evaluation: Evaluation, record: Record) -> list[dict[str, Any]]:
    """Return a row for each test set and metric with one number for all widths; at least one, which names the state."""
    measured = ("min_width_mult", "max_width_mult", "num_widths", "num_switches", "params_stored")
    times = ("sweep_time_s", "recalibration_time_s")
    about = {
        **_cell(evaluation.run),
        "label": evaluation.label,
        **statistics_columns(evaluation, record.measured),
        "state": record.state,
        "error": record.error,
        **{name: record.measured.get(name) for name in (*measured, *times)},
    }
    primary = task_metrics(evaluation.run.task)[0].name
    nothing = [{"test_set": "test", "metric": primary, "score": None}]
    return [about | summary for summary in record.measured.get("summaries") or nothing]
