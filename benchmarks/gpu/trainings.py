"""Several trainings at a time, each a process with a log of its own, and the table of those that are finished."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from awnlib.files import atomic_path
from awnlib.jobs.interrupt import TERMINATED, sigterm_noticed
from awnlib.results.blocks import markdown
from awnlib.results.renderers import over_all_widths
from awnlib.results.schemas import read_provenance, read_table, write_table_files
from awnlib.studies.base import study_yaml
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.collect import collect_runs
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.run import RunConfig
from benchmarks.gpu import INCOMPLETE
from benchmarks.gpu.cell import is_finished
from benchmarks.gpu.children import POLL_S
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.studies import TABLE, prepared_images, table2_study

Running = dict[subprocess.Popen[bytes], RunConfig]


def run(model: str, settings: Settings, folder: Path) -> int:
    """Train and evaluate what is not finished of one model's rows of Table 2; return the exit status of the part.

    First all methods with the first seed, data set by data set, then the next seed. After SIGTERM, which the trainings
    get too, they save their state and nothing new starts.
    """
    study = table2_study(model, settings)
    images, problems = prepared_images(study, settings)
    print(*problems, sep="\n", flush=True)
    results = folder / study.study
    with atomic_path(results / "study.yaml") as temporary:
        temporary.write_text(study_yaml(study), encoding="utf-8")
    planned = [one for one in sorted(runs(study), key=lambda one: one.seed) if one.dataset in images]
    left = [one for one in planned if not is_finished(results, one)]
    if _work(left, settings.at_a_time, study, images, results):
        return TERMINATED
    lost = [one.name for one in planned if not is_finished(results, one)]
    print(*(f"{name} failed: see its log" for name in lost), sep="\n")
    return 1 if lost else INCOMPLETE if problems else 0


def _work(
    left: Sequence[RunConfig], at_a_time: int, study: StudyConfig, images: dict[str, Path], results: Path
) -> bool:
    """Start the runs in order, `at_a_time` at once, write the tables whenever one ends; return whether to stop."""
    waiting, running = list(left), Running()
    with sigterm_noticed() as ended:
        while running or (waiting and not ended.is_set()):
            while waiting and len(running) < at_a_time and not ended.is_set():
                run = waiting.pop(0)
                running[_start(run, images[run.dataset], results)] = run
            if _forget_ended(running):
                write_tables(study, results)
            time.sleep(POLL_S)
        write_tables(study, results)
        return ended.is_set()


def _start(run: RunConfig, images: Path, results: Path) -> subprocess.Popen[bytes]:
    """Start the process of one run; its output goes to a log."""
    log = results / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [str(results / "study.yaml"), run.name, str(images), str(results)]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.cell", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _forget_ended(running: Running) -> bool:
    """Take processes that ended off the list, say how, and return whether there were some."""
    statuses = {process: process.poll() for process in running}
    for process, status in statuses.items():
        if status is not None:
            print(f"{running.pop(process).name}: exit status {status}", flush=True)
    return any(status is not None for status in statuses.values())


def write_tables(study: StudyConfig, results: Path) -> None:
    """Write the study's tables, and Table 2 of its data sets, from all runs that are finished, if there are any."""
    finished = [run for run in runs(study) if is_finished(results, run)]
    if not finished:
        return
    tables, seen = results / "tables", {run.dataset for run in finished}
    collect_runs(finished, results, tables, study=study.study)
    asked = study.exhibit(TABLE)
    exhibit = replace(asked, panels=[panel for panel in asked.panels if panel.dataset in seen])
    evaluations = tables / "evaluations.parquet"
    table = over_all_widths.make(exhibit, {"evaluations": read_table(evaluations)})
    text = markdown(over_all_widths.layout(exhibit, table))
    write_table_files(tables / TABLE, "exhibit", table, read_provenance(evaluations), text)
