"""What pages say of a width-transfer study, and what is published of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.report.contents import Contents, holes, wall_times
from awnlib.report.page import format_time
from awnlib.results.numbers import HOLE
from awnlib.results.schemas import read_provenance, read_table
from awnlib.results.titles import display_name, panel_title
from awnlib.studies.transfer.cells import COMPARISON, UNIFORM, configuration_title
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.layout import (
    datasets_rows,
    markdown,
    similarity_rows,
    summarise_transfer,
    transfer_rows,
    widths_rows,
)
from awnlib.studies.transfer.stages import retraining_record, search_record

TEMPLATE = "transfer.html.jinja"
COLLECTED = ("transfer",)
PUBLISHED = ("transfer", "widths", "similarity")
LONG = ("widths",)  # tables that are no part of the page
SEARCHED = ["model", "dataset", "source", "optimizer", "seed"]
RETRAINED = ["model", "dataset", "target", "source", "optimizer", "extrapolation", "seed"]
TABLES = {
    "transfer": (
        "Accuracy and overhead",
        transfer_rows,
        "Means ± standard deviations over the seeds; † without seeds that failed. The factor is how many times as much "
        "the direct search cost in MACs.",
    ),
    "datasets": (
        "One data set against another",
        datasets_rows,
        "Widths that were optimised directly, on each data set.",
    ),
    "similarity": ("Similarity of the widths", similarity_rows, "Means over all pairs of vectors of a target."),
    "widths": ("Widths by dimension", widths_rows, "Mean multipliers over all searches for a target."),
}


def report(study: TransferStudy, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the report of a study says besides its figures."""
    transfer = tables["transfer"]
    return {
        "summary": _summary(study, transfer),
        "findings": findings(transfer),
        "tables": [
            (title, caption, layout(tables[name]))
            for name, (title, layout, caption) in TABLES.items()
            if name in tables
        ],
        "failures": _failures(transfer),
    }


def contents(study: TransferStudy, results: Path) -> Contents:
    """Return what is published of a study whose results are in this folder."""
    table = read_table(results / "tables/transfer.parquet")
    wanted = [f"{axis.name}: {cell.name}" for axis in study.axes() for cell in axis.retrainings(study.seeds)]
    return Contents(
        tables=[],
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


def section(study: TransferStudy, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return what the page of all studies says of one, from its published tables."""
    shown = [name for name in TABLES if name in tables and name not in LONG]
    text = "\n".join(_table(name, tables[name]) for name in shown)
    return {"known": tables, "orders": [], "tables": text, "sizes": []}


def findings(transfer: pd.DataFrame) -> list[str]:
    """Return a sentence for each axis and optimiser: direct search and the cheapest source against uniform widths.

    Parameters
    ----------
    transfer
        The study's table of this name; may be empty.
    """
    summary = summarise_transfer(transfer)
    sentences = []
    rows = summary[(summary["optimizer"] != UNIFORM) & summary["gain_pct"].notna()]
    for (model, dataset, axis, label), group in rows.groupby(["model", "dataset", "axis", "label"], sort=False):
        direct = group[group["is_direct"]]
        words = [f"direct {row['gain_pct']:+.2f} points over uniform" for _, row in direct.iterrows()][:1]
        cheapest = group[~group["is_direct"]].sort_values("overhead_saved_pct", na_position="first").tail(1)
        for _, row in cheapest.iterrows():
            source = configuration_title(row["source"])
            cost = "" if pd.isna(row["overhead_factor"]) else f", {row['overhead_factor']:.1f} times cheaper"
            words.append(f"from {source} {row['gain_pct']:+.2f}{cost}")
        sentences.append(f"{axis} ({panel_title(str(model), str(dataset))}), {label}: {'; '.join(words)}.")
    return sentences


def _summary(study: TransferStudy, transfer: pd.DataFrame) -> dict[str, str]:
    """Return the key figures at the top of the page."""
    cells = transfer.drop_duplicates(["model", "dataset", "target", "source", "optimizer", "extrapolation", "seed"])
    good = int((cells["state"] == "ok").sum())
    searches = cells.drop_duplicates(["model", "dataset", "source", "optimizer", "seed"])
    seconds = searches["search_time_s"].astype(float).sum() + cells["train_time_s"].astype(float).sum()
    best = transfer.loc[transfer["kind"] != COMPARISON, "overhead_factor"].astype(float).max()
    return {
        "retrainings that succeeded": f"{good} of {len(cells)}",
        "searches": str(len(study.searches())),
        "seeds": str(len(study.seeds)),
        "largest reduction of the overhead": HOLE if pd.isna(best) else f"{best:.1f} times",
        "computing time": format_time(float(seconds)),
    }


def _failures(transfer: pd.DataFrame) -> list[list[str]]:
    """Return what did not succeed, with its error."""
    lost = transfer[transfer["state"] != "ok"]
    rows = [
        [
            f"{display_name(row['model'])}, {display_name(row['dataset'])}, {configuration_title(row['target'])}",
            f"{row['label']}, {configuration_title(row['source'])}",
            str(row["seed"]),
            str(row["state"]),
            "" if pd.isna(row["error"]) else str(row["error"]),
        ]
        for _, row in lost.iterrows()
    ]
    return list(map(list, dict.fromkeys(map(tuple, rows))))


def _name(row: pd.Series) -> str:
    """Return the axis and the `Retraining.name` of a row of the table `transfer`."""
    parts = [UNIFORM] if row["optimizer"] == UNIFORM else [row["source"], row["optimizer"], row["extrapolation"]]
    return "/".join([f"{row['axis']}: {row['model']}", row["dataset"], row["target"], *parts, f"seed{row['seed']}"])


def _table(name: str, table: pd.DataFrame) -> str:
    title, _, caption = TABLES[name]
    return f"**{title}**\n\n{markdown(name, table)}\n{caption}\n"
