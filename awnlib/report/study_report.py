"""The report of a study: one HTML page that holds everything it shows and loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from awnlib.papers.any_width_networks.findings import model_sizes, orders, worst_drift
from awnlib.report.page import format_time, link, load_picture, write_page
from awnlib.results.layout import Block, blocks
from awnlib.results.numbers import HOLE, number
from awnlib.results.titles import display_name, panel_title
from awnlib.studies.base import study_yaml
from awnlib.studies.widths.config import StudyConfig

TEMPLATE = "report.html.jinja"
MAIN_FIGURE = "figure5"
CAPTIONS = {
    "figure2": (
        "BN statistics during training",
        "Mean and variance of one feature, measured in each training batch at every width. If the lines of the widths "
        "lie apart, one stored value (dashed) cannot serve them all. In a triangular network they coincide by design; "
        "wide widths are drawn thicker, so that equal lines stay visible.",
    ),
    "figure4": (
        "More widths in training",
        "Test accuracy at every width for triangular networks trained at one width or at several together. The paper "
        "finds that the more widths are trained, the better a network works at those in between.",
    ),
    "figure5": (
        "Accuracy at every width",
        "Test accuracy when one trained network is run at any fraction of its width. Lines are means over the seeds, "
        "bands reach from the lowest to the highest seed. Markers sit at the widths that have BN statistics of their "
        "own; in between, such a network uses those of the next larger width.",
    ),
    "figure5_macs": (
        "Accuracy for a given amount of computation",
        "The same curves over the multiply-adds that one image needs. Zeros of triangular layers are not counted.",
    ),
    "figure6": (
        "Trained at full width only",
        "Both networks were trained at full width alone and then narrowed. The paper finds that a triangular one loses "
        "accuracy more gracefully: its features never read those that are switched off.",
    ),
}


def write_report(
    path: str | Path,
    *,
    study: StudyConfig,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Path],
    provenance: Mapping[str, str],
    files: Iterable[Path] = (),
) -> None:
    """Write the report of a study as one self-contained HTML page.

    Parameters
    ----------
    path
        The HTML file.
    study
        The configuration, shown in full.
    tables
        By name: the study's "evaluations", "runs" and "bn_drift", which may be empty, and the tidy frames of "table1"
        and "table2", as far as it has them.
    figures
        SVG or PNG files by name ("figure5", ...); they are put into the page.
    provenance
        Where the numbers come from.
    files
        Further files to link to.

    Raises
    ------
    ValueError
        If a figure is neither SVG nor PNG.
    """
    folder = Path(path).parent
    evaluations, runs = tables["evaluations"], tables["runs"]
    pictures = {name: load_picture(name, Path(file), folder, CAPTIONS) for name, file in sorted(figures.items())}
    main = pictures.pop(MAIN_FIGURE, None) or (pictures.pop(next(iter(pictures))) if pictures else None)
    content = {
        "study": study,
        "summary": _summary(study, runs),
        "orders": orders(tables["table2"]) if "table2" in tables else [],
        "main": main,
        "pictures": list(pictures.values()),
        "tables": _table_blocks(tables),
        "cells": _cells(runs),
        "drift": _drift(tables["bn_drift"]),
        "sizes": size_rows(evaluations, runs),
        "failures": [*_failures(runs, "training"), *_failures(evaluations, "evaluation")],
        "provenance": {name: value for name, value in provenance.items() if value},
        "configuration": study_yaml(study),
        "files": [link(Path(file), folder) for file in files],
    }
    write_page(path, TEMPLATE, content)


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


def _table_blocks(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, list[Block]]]:
    titles = {"table1": "Table 1: accuracy at the trained widths", "table2": "Table 2: accuracy over all widths"}
    return [(titles[name], blocks(tables[name], name)) for name in titles if name in tables]


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


def size_rows(evaluations: pd.DataFrame, runs: pd.DataFrame) -> list[list[str]]:
    """Return what each model stores beside its AUC as text (`findings.model_sizes`): a row for each label."""
    rows = [
        [
            panel_title(row["model"], row["dataset"]),
            row["label"],
            number(row["num_switches"], ".0f"),
            number(row["params_stored"], ",.0f"),
            number(row["extra_pct"], "+.1f", " %"),
            number(row["paper_extra_pct"], "+.0f", " %"),
            number(row["auc_pct"], ".2f"),
        ]
        for _, row in model_sizes(evaluations, runs).iterrows()
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


__all__ = ["CAPTIONS", "format_time", "size_rows", "write_report"]
