"""Several trainings at a time, each a process with a log of its own, and the table of those that are finished."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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
from benchmarks.gpu.studies import STUDIES, TABLE, asked_of, given_studies, prepared_images, table2_study


class Training(NamedTuple):
    """A run of a study, its prepared images and the folder of the study's results."""

    study: StudyConfig
    run: RunConfig
    images: Path
    results: Path


Running = dict[subprocess.Popen[bytes], Training]


def run(name: str, settings: Settings, folder: Path) -> int:
    """Train and evaluate what is not finished of one model's rows of Table 2, or of studies; return the exit status.

    First all methods with the first seed, data set by data set, then the next seed; one study after the other. After
    SIGTERM, which the trainings get too, they save their state and nothing new starts.
    """
    if name == STUDIES:
        asked = [(study, list(study.datasets), folder / study.study / "data") for study in given_studies(settings)]
    else:
        study = table2_study(name, settings)
        asked = [(study, asked_of(study, settings), settings.out / "data")]
    planned, problems = list[Training](), list[str]()
    for study, names, place in asked:
        images, missing = prepared_images(study, names, settings, place)
        problems += missing
        planned += _plan(study, images, folder / study.study)
    print(*problems, sep="\n", flush=True)
    if _work([one for one in planned if not is_finished(one.results, one.run)], settings.at_a_time):
        return TERMINATED
    lost = [one.run.name for one in planned if not is_finished(one.results, one.run)]
    print(*(f"{name} failed: see its log" for name in lost), sep="\n")
    return 1 if lost else INCOMPLETE if problems else 0


def _plan(study: StudyConfig, images: dict[str, Path], results: Path) -> list[Training]:
    """Leave a study's configuration beside its results, and return its trainings for which there are images."""
    with atomic_path(results / "study.yaml") as temporary:
        temporary.write_text(study_yaml(study), encoding="utf-8")
    there = [one for one in sorted(runs(study), key=lambda one: one.seed) if one.dataset in images]
    return [Training(study, one, images[one.dataset], results) for one in there]


def _work(left: Sequence[Training], at_a_time: int) -> bool:
    """Start trainings in order, `at_a_time` at once, write tables whenever some end; return whether to stop."""
    waiting, running = list(left), Running()
    with sigterm_noticed() as ended:
        while running or (waiting and not ended.is_set()):
            while waiting and len(running) < at_a_time and not ended.is_set():
                training = waiting.pop(0)
                running[_start(training)] = training
            _write_all_tables(_forget_ended(running))
            time.sleep(POLL_S)
        _write_all_tables(left)
        return ended.is_set()


def _write_all_tables(trainings: Sequence[Training]) -> None:
    for results, study in {one.results: one.study for one in trainings}.items():
        write_tables(study, results)


def _start(training: Training) -> subprocess.Popen[bytes]:
    """Start the process of one run; its output goes to a log."""
    _, run, images, results = training
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


def _forget_ended(running: Running) -> list[Training]:
    """Take processes that ended off the list, say how, and return their trainings."""
    statuses = {process: process.poll() for process in running}
    ended = {process: status for process, status in statuses.items() if status is not None}
    for process, status in ended.items():
        print(f"{running[process].run.name}: exit status {status}", flush=True)
    return [running.pop(process) for process in ended]


def write_tables(study: StudyConfig, results: Path) -> None:
    """Write the study's tables, and Table 2 if it has one, from all runs that are finished, if there are any."""
    finished = [run for run in runs(study) if is_finished(results, run)]
    if not finished:
        return
    tables, seen = results / "tables", {run.dataset for run in finished}
    collect_runs(finished, results, tables, study=study.study)
    if TABLE not in study.exhibits:
        return
    asked = study.exhibit(TABLE)
    exhibit = replace(asked, panels=[panel for panel in asked.panels if panel.dataset in seen])
    evaluations = tables / "evaluations.parquet"
    table = over_all_widths.make(exhibit, {"evaluations": read_table(evaluations)})
    text = markdown(over_all_widths.layout(exhibit, table))
    write_table_files(tables / TABLE, "exhibit", table, read_provenance(evaluations), text)
