"""What is published of a width-transfer study, and what the page says of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.papers.width_transfer.claims import own_findings, paper_findings
from awnlib.report.published import Contents, holes, wall_times
from awnlib.report.transfer_report import TABLES
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.transfer.config import UNIFORM, TransferStudy, retraining_record, search_record
from awnlib.studies.transfer.departures import departures
from awnlib.studies.transfer.layout import markdown

LONG = ("widths",)  # tables that are no part of the page
SEARCHED = ["model", "dataset", "source", "optimizer", "seed"]
RETRAINED = ["model", "dataset", "target", "source", "optimizer", "extrapolation", "seed"]


def contents(study: TransferStudy, results: Path) -> Contents:
    """Return what is published of a study whose results are in this folder."""
    table = read_table(results / "tables/transfer.parquet")
    wanted = [f"{axis.name}: {cell.name}" for axis in study.axes() for cell in axis.retrainings(study.seeds)]
    return Contents(
        tables=study.tables,
        texts=study.tables,
        figures=study.figures,
        lost=list(holes("retraining", wanted, [_name(row) for _, row in table.iterrows()], table)),
        records=[
            *(search_record(results, search) for search in study.searches().values()),
            *(retraining_record(results, cell) for cell in study.retrainings().values()),
        ],
        seconds={
            "search": wall_times(table.drop_duplicates(SEARCHED)["search_time_s"]),
            "retraining": wall_times(table.drop_duplicates(RETRAINED)["train_time_s"]),
        },
        origin=read_provenance(results / "tables/transfer.parquet"),
    )


def section(study: TransferStudy, tables: Mapping[str, pd.DataFrame], paper: TransferStudy) -> dict[str, Any]:
    """Return what the page says of a study, from its published tables."""
    shown = [name for name in TABLES if name in tables and name not in LONG]
    return {
        "paper_findings": paper_findings(study, tables),
        "own_findings": own_findings(study, tables),
        "orders": [],
        "tables": "\n".join(_table(name, tables[name]) for name in shown),
        "sizes": [],
        "departures": departures(study, paper),
    }


def _name(row: pd.Series) -> str:
    """Return the axis and the `Retraining.name` of a row of the table `transfer`."""
    parts = [UNIFORM] if row["optimizer"] == UNIFORM else [row["source"], row["optimizer"], row["extrapolation"]]
    return "/".join([f"{row['axis']}: {row['model']}", row["dataset"], row["target"], *parts, f"seed{row['seed']}"])


def _table(name: str, table: pd.DataFrame) -> str:
    title, _, caption = TABLES[name]
    return f"**{title}**\n\n{markdown(name, table)}\n{caption}\n"
