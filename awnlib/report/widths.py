"""What pages say of a study of networks of selectable width, and what is published of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.report.contents import Contents, holes, wall_times
from awnlib.report.page import format_time
from awnlib.results.blocks import Block, markdown
from awnlib.results.exhibits import exhibit_row, renderer_of
from awnlib.results.numbers import HOLE, number
from awnlib.results.paper_values import paper_values
from awnlib.results.schemas import read_provenance, read_table
from awnlib.results.seeds import with_paper_numbers
from awnlib.results.summaries import Order, model_sizes, one_row_each, orders, worst_drift
from awnlib.results.titles import display_name, panel_title
from awnlib.studies.widths.cells import evaluations, runs, runs_with_residuals
from awnlib.studies.widths.collect import residuals_record, run_record, sweep_record
from awnlib.studies.widths.config import StudyConfig
from awnlib.tasks import task_metrics
from awnlib.training.run import RunConfig

TEMPLATE = "widths.html.jinja"
COLLECTED = ("evaluations", "runs", "bn_drift")
PUBLISHED = (*COLLECTED, "sweep", "history")
"""What is published besides tables for readers, so that each of their numbers can be computed again; what is left of a
study's tables is large.
"""


def report(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the report of a study says besides its figures."""
    swept, trained = tables["evaluations"], tables["runs"]
    names = [name for name in study.tables if name in tables]
    return {
        "summary": _summary(study, trained),
        "orders": _orders(study, tables),
        "tables": [(exhibit_row(name).title, _blocks(study, name, tables[name])) for name in names],
        "cells": _cells(trained),
        "drift": _drift(tables["bn_drift"]),
        "sizes": size_rows(study, swept, trained),
        "metric": task_metrics(study.task)[0],
        "failures": [*_failures(trained, "training"), *_failures(one_row_each(swept), "evaluation")],
    }


def contents(study: StudyConfig, results: Path) -> Contents:
    """Return what is published of a study whose results are in this folder."""
    run_table = runs(study)
    sweeps = evaluations(run_table)
    trained, scores = (read_table(results / f"tables/{name}.parquet") for name in ("runs", "evaluations"))
    swept = one_row_each(scores)
    wanted = [_name(*_cell(run), run.individual_width) for run in run_table]
    shown = [_name(*_cell(sweep.run), sweep.variant) for sweep in sweeps]
    return Contents(
        tables=[*PUBLISHED, *study.on_demand],
        lost=[
            *holes("training", wanted, _names(trained, "individual_width"), trained),
            *holes("evaluation", shown, _names(swept, "variant"), swept),
        ],
        records=[
            *(run_record(results, run) for run in run_table),
            *(sweep_record(results, sweep) for sweep in sweeps),
            *(residuals_record(results, run) for run in runs_with_residuals(study)),
        ],
        seconds={
            "train": wall_times(trained["train_time_s"]),
            "recalibration": wall_times(swept["recalibration_time_s"]),
            "sweep": wall_times(swept["sweep_time_s"]),
        },
        origin=read_provenance(results / "tables/runs.parquet"),
    )


def section(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the page of all studies says of one, from its published tables and the papers' numbers of today."""
    today = {name: with_paper_numbers(study.exhibit(name), tables[name]) for name in study.tables if name in tables}
    return {
        "known": {**tables, **today},
        "orders": _orders(study, today),
        "tables": "\n".join(markdown(_blocks(study, name, table)) for name, table in today.items()),
        "sizes": size_rows(study, tables["evaluations"], tables["runs"]),
        "metric": task_metrics(study.task)[0],
    }


def _blocks(study: StudyConfig, name: str, table: pd.DataFrame) -> list[Block]:
    blocks: list[Block] = renderer_of(name).layout(study.exhibit(name), table)
    return blocks


def _orders(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[Order]:
    """Return how the methods rank in each table that has one number for an evaluation."""
    found, metric = [tables[name] for name in study.tables if name in tables], task_metrics(study.task)[0]
    return [order for table in found if table["width_mult"].isna().all() for order in orders(table, metric)]


def _summary(study: StudyConfig, runs: pd.DataFrame) -> dict[str, str]:
    """Return the key figures at the top of the page."""
    good = int((runs["state"] == "ok").sum())
    return {
        "training runs that succeeded": f"{good} of {len(runs)}",
        "data sets": str(runs["dataset"].nunique()),
        "seeds": str(len(study.seeds)),
        "training time, all runs": format_time(float(runs["train_time_s"].astype(float).sum())),
        "trained on": ", ".join(sorted(runs["device"].dropna().unique())) or HOLE,
    }


def _cells(runs: pd.DataFrame) -> list[list[str]]:
    """Return a row per panel and method: what was trained, for how long."""
    rows = []
    for (model, dataset, label), group in runs.groupby(["model", "dataset", "label"], sort=False):
        times = group["train_time_s"].astype(float).dropna()
        epochs = "/".join(str(number) for number in sorted(group["num_epochs"].unique()))
        rate = "/".join(f"{number:g}" for number in sorted(group["lr"].unique()))
        mean = format_time(float(times.mean())) if len(times) else HOLE
        runs_text = f"{(group['state'] == 'ok').sum()} of {len(group)}"
        rows.append([panel_title(str(model), str(dataset)), str(label), runs_text, epochs, rate, mean])
    return _by_panel(rows)


def _by_panel(rows: list[list[str]]) -> list[list[str]]:
    """Bring the rows of a panel (their first entry) together, panels in the order in which they first occur."""
    panels = list(dict.fromkeys(row[0] for row in rows))
    return sorted(rows, key=lambda row: panels.index(row[0]))


def _drift(bn_drift: pd.DataFrame) -> list[list[str]]:
    rows = [
        [panel_title(row["model"], row["dataset"]), row["label"], row["layer"], _small(row["drift"])]
        for _, row in worst_drift(bn_drift).iterrows()
    ]
    return _by_panel(rows)


def size_rows(study: StudyConfig, evaluations: pd.DataFrame, runs: pd.DataFrame) -> list[list[str]]:
    """Return what each model stores beside its score as text (`model_sizes`): a row for each label."""
    sizes = model_sizes(evaluations, runs, paper_values(study.papers[0]))
    rows = [
        [
            panel_title(row["model"], row["dataset"]),
            row["label"],
            number(row["num_switches"], ".0f"),
            number(row["params_stored"], ",.0f"),
            number(row["extra_pct"], "+.1f", " %"),
            number(row["paper_extra_pct"], "+.0f", " %"),
            number(row["score"], ".2f"),
        ]
        for _, row in sizes.iterrows()
    ]
    return _by_panel(rows)


def _small(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _failures(frame: pd.DataFrame, kind: str) -> list[list[str]]:
    """Return what did not succeed, with its error."""
    rows = []
    for _, row in frame[frame["state"] != "ok"].iterrows():
        where = f"{display_name(row['model'])}, {display_name(row['dataset'])}"
        error = "" if pd.isna(row["error"]) else str(row["error"])
        rows.append([kind, where, str(row["label"]), str(row["seed"]), str(row["state"]), error])
    return rows


def _cell(run: RunConfig) -> tuple[str, str, str, int]:
    return run.dataset, run.model, run.method, run.seed


def _name(*key: object) -> str:
    return "/".join(str(part) for part in key if part is not None)


def _names(table: pd.DataFrame, last: str) -> list[str]:
    rows = table.astype(object).where(table.notna(), None)
    return [
        _name(*key) for key in zip(*(rows[key] for key in ("dataset", "model", "method", "seed", last)), strict=True)
    ]
