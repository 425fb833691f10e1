"""The code that a job of a study runs: what its result depends on, besides its inputs and its settings.

An edit of anything that a job's function reaches makes its results stale (`awnlib.jobs.digest`); an edit of anything
else does not. What an extension adds by name (a model, a source) is no name in that code, and comes on top.
"""

from __future__ import annotations

from functools import cache

from awnlib.jobs.digest import code_digest

STORED_TABLES = (
    "results.columns",
    "results.schemas",
)  # for jobs of seconds: to train again is not worth the words of a column
JOBS: dict[str, tuple[str, ...]] = {  # of seconds; longer ones declare their function (`awnlib.studies.job`)
    # Both kinds of study
    "prepare_data": ("data.prepared.prepare",),
    "collect_results": STORED_TABLES,
    "make_table": ("results.blocks.markdown", *STORED_TABLES),
    "draw_figure": ("results.style.save_figure",),
    "report": ("report.report.write_report", "studies.base.study_yaml"),
    # Widths
    # Width transfer
    # What a resume point is of: what a job does with the outcome is not in it
    "train": ("training.engine.train",),
    "search": ("width_transfer.search.search",),
}
VALUES = {
    "studies.base",
    "studies.widths.config",
    "studies.widths.evaluated",
    "data.config",
    "results.exhibits",
    "results.paper_values",
    "methods.yaml",
    "exhibits.yaml",
    "training.run",
    "studies.widths.cells",
    "studies.transfer.cells",
    "studies.transfer.config",
}
"""What makes the settings of each job, which are compared on their own."""

SETTINGS = {"training.methods", "width_transfer.options", "width_transfer.projection"}
"""The classes of those settings that can do something."""

CANNOT_CHANGE_RESULTS = {
    "studies.widths.checks",
    "results.columns",
    "jobs.digest",
    "files",
    "jobs.hardware",
    "jobs.interrupt",
    "jobs.code",
    "jobs.logs",
    "jobs.memory",
    "jobs.progress",
    "jobs.provenance",
    "jobs.records",
    "results.schemas",
    "settings",
    "jobs.start",
    "jobs.verdict",
}
"""Where, when and how visibly a job works, what it refuses, in which form it stores what it found, and its origin."""


def job_code(
    stage: str,
    *,
    model: str | None = None,
    source: str | None = None,
    task: str | None = None,
    others: tuple[str, ...] = (),
) -> str:
    """Return the digest of the code that a job runs, with that of its model, source of images or task, and others.

    Raises
    ------
    ValueError
        If there is no such stage, model, source or task.
    """
    if stage not in JOBS:
        raise ValueError(f"no job is called '{stage}' (allowed: {', '.join(JOBS)})")
    named = {f"models.{model}": model, f"data.sources.{source}": source, f"tasks.{task}": task}
    return reached_code(*JOBS[stage], *(module for module, name in named.items() if name), *others)


@cache
def reached_code(*roots: str) -> str:
    """Return the digest of what decides results in definitions or modules below `awnlib`, and in what they reach.

    Raises
    ------
    ValueError
        If there is no such definition or module.
    """
    tasks = {root.removeprefix("tasks.") for root in roots if root.startswith("tasks.")}
    settings = SETTINGS | {f"tasks._{task}_settings" for task in tasks}
    return code_digest(*roots, values=VALUES, settings=settings, leave_out=CANNOT_CHANGE_RESULTS)
