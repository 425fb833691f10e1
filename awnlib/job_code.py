"""The code that each job of a study runs: what its result depends on, besides its inputs and its settings.

An edit of anything that a job's function reaches makes its results stale (`awnlib.digest`); an edit of anything else
does not. What an extension adds by name (a model, a source) is no name in that code, and comes on top.
"""

from __future__ import annotations

from functools import cache

from awnlib.digest import code_digest

STORED_TABLES = ("columns", "schemas")  # for jobs of seconds: to train again is not worth the words of a column
JOBS: dict[str, tuple[str, ...]] = {
    # Both kinds of study
    "prepare_data": ("prepared.prepare",),
    # Widths
    "train_model": ("stages.train_model",),
    "recalibrate_bn": ("stages.recalibrate_model",),
    "sweep_widths": ("stages.sweep_model",),
    "collect_results": ("collect.collect", *STORED_TABLES),
    "table1": ("tables.make_table1", "tables.write_exhibit_table", *STORED_TABLES),
    "table2": ("tables.make_table2", "tables.write_exhibit_table", *STORED_TABLES),
    "figure2": ("figures.figure2", "figures.save_figure"),
    "figure4": ("figures.figure4", "figures.save_figure"),
    "figure5": ("figures.figure5", "figures.save_figure"),
    "figure5_macs": ("figures.figure5_macs", "figures.save_figure"),
    "figure6": ("figures.figure6", "figures.save_figure"),
    "report": ("report.write_report", "base_study.study_yaml"),
    # Width transfer
    "search_widths": ("width_transfer.stages.search_widths",),
    "transfer_widths": ("width_transfer.stages.transfer_widths",),
    "train_transferred": ("width_transfer.stages.train_transferred",),
    "collect_transfer": ("width_transfer.collect.collect_transfer", *STORED_TABLES),
    "draw_transfer": ("width_transfer.figures.draw", "figures.style.save_figure"),
    "report_transfer": ("width_transfer.report.write_transfer_report", "base_study.study_yaml"),
    # What a resume point is of: what a job does with the outcome is not in it
    "train": ("train.train",),
    "search": ("width_transfer.search.search",),
}
VALUES = {"base_study", "config", "data.config", "exhibits", "methods.yaml", "run", "study", "width_transfer.study"}
"""What makes the settings of each job, which are compared on their own."""

SETTINGS = {"methods", "width_transfer.settings"}
"""The classes of those settings that can do something."""

CANNOT_CHANGE_RESULTS = {
    "checks",
    "columns",
    "digest",
    "files",
    "hardware",
    "interrupt",
    "job_code",
    "logs",
    "memory",
    "progress",
    "provenance",
    "records",
    "schemas",
    "settings",
    "start",
    "verdict",
}
"""Where, when and how visibly a job works, what it refuses, in which form it stores what it found, and its origin."""


@cache
def job_code(stage: str, *, model: str | None = None, source: str | None = None) -> str:
    """Return the digest of the code that a job runs, with that of its model or the source of its images.

    Raises
    ------
    ValueError
        If there is no such stage, model or source.
    """
    if stage not in JOBS:
        raise ValueError(f"no job is called '{stage}' (allowed: {', '.join(JOBS)})")
    extensions = [f"models.{model}"] if model else [f"sources.{source}"] if source else []
    return code_digest(*JOBS[stage], *extensions, values=VALUES, settings=SETTINGS, leave_out=CANNOT_CHANGE_RESULTS)
