"""What is published of an Any-Width Networks study, and what the page says of it alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.papers.any_width_networks.claims import own_findings, paper_findings
from awnlib.papers.any_width_networks.findings import orders
from awnlib.papers.any_width_networks.tables import with_paper_numbers
from awnlib.report.study_report import CAPTIONS, size_rows
from awnlib.results.layout import markdown
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.widths.cells import evaluations, runs
from awnlib.studies.widths.collect import run_record, sweep_record
from awnlib.studies.widths.config import StudyConfig
from awnlib.studies.widths.departures import departures
from awnlib.training.run import RunConfig

COLLECTED = ("evaluations", "runs", "bn_drift")  # the other tables of a study are large
EXHIBITS = ("table2", "table1")


@dataclass(frozen=True)
class Contents:
    """What is worth keeping of a study's results.

    Attributes
    ----------
    tables, texts, figures
        Names of parquet tables, of tables as Markdown, and of figures.
    lost
        A line for each cell without a result, or that nobody asked for.
    records
        Where the records of all jobs are, or would be.
    seconds
        Wall times of the jobs that succeeded, by step.
    origin
        Machine and software.
    """

    tables: list[str]
    texts: list[str]
    figures: list[str]
    lost: list[str]
    records: list[Path]
    seconds: dict[str, list[float]]
    origin: dict[str, str]


def contents(study: StudyConfig, results: Path) -> Contents:
    """Return what is published of a study whose results are in this folder."""
    run_table = runs(study)
    sweeps = evaluations(run_table)
    trained, swept = (read_table(results / f"tables/{name}.parquet") for name in ("runs", "evaluations"))
    wanted = [_name(*_cell(run), run.individual_width) for run in run_table]
    shown = [_name(*_cell(sweep.run), sweep.variant) for sweep in sweeps]
    return Contents(
        tables=[*COLLECTED, *study.tables],
        texts=list(study.tables),
        figures=list(CAPTIONS),
        lost=[
            *holes("training", wanted, _names(trained, "individual_width"), trained),
            *holes("evaluation", shown, _names(swept, "variant"), swept),
        ],
        records=[
            *(run_record(results, run) for run in run_table),
            *(sweep_record(results, sweep) for sweep in sweeps),
        ],
        seconds={
            "train": wall_times(trained["train_time_s"]),
            "recalibration": wall_times(swept["recalibration_time_s"]),
            "sweep": wall_times(swept["sweep_time_s"]),
        },
        origin=read_provenance(results / "tables/runs.parquet"),
    )


def section(study: StudyConfig, tables: Mapping[str, pd.DataFrame], paper: StudyConfig) -> dict[str, Any]:
    """Return what the page says of a study, from its published tables and the paper's numbers as they are today."""
    tables = {**tables, **{name: with_paper_numbers(tables[name], name) for name in EXHIBITS if name in tables}}
    return {
        "paper_findings": paper_findings(study, tables),
        "own_findings": own_findings(study, tables["evaluations"]),
        "orders": orders(tables["table2"]) if "table2" in tables else [],
        "tables": "\n".join(markdown(tables[name], name) for name in EXHIBITS if name in tables),
        "sizes": size_rows(tables["evaluations"], tables["runs"]),
        "departures": departures(study, paper),
    }


def holes(kind: str, wanted: Iterable[str], found: Iterable[str], table: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each wanted cell that a table lacks or that is not ok, and for each that nobody wants.

    Parameters
    ----------
    kind
        What a row of the table is.
    wanted
        Names of all cells.
    found
        Names of the rows of the table.
    table
        With the columns `state` and `error`.
    """
    found = list(found)
    states = {
        name: f"{state}: {error}" for name, state, error in zip(found, table["state"], table["error"], strict=True)
    }
    good = Counter(name for name in found if states[name].startswith("ok"))
    for name in Counter(wanted) - good:
        yield f"{kind} {name}: {' '.join(states.get(name, 'no result').split())}"
    for name in Counter(found) - Counter(wanted):
        yield f"{kind} {name}: not in the configuration"


def wall_times(seconds: pd.Series) -> list[float]:
    """Return the wall times of the jobs that have one."""
    return seconds.dropna().astype(float).tolist()


def _cell(run: RunConfig) -> tuple[str, str, str, int]:
    return run.dataset, run.model, run.method, run.seed


def _name(*key: object) -> str:
    return "/".join(str(part) for part in key if part is not None)


def _names(table: pd.DataFrame, last: str) -> list[str]:
    rows = table.astype(object).where(table.notna(), None)
    return [
        _name(*key) for key in zip(*(rows[key] for key in ("dataset", "model", "method", "seed", last)), strict=True)
    ]
