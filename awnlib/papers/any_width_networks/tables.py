"""The paper's tables from the study's parquet tables: our mean over seeds beside the paper's number.

``make_table1`` and ``make_table2`` return tidy frames (a row per cell, columns in ``awnlib.results.columns``);
``write_exhibit_table`` writes one as parquet, CSV and Markdown. A cell without a result is a row without a value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.results.columns import TABLES
from awnlib.results.exhibits import ExhibitConfig, PanelConfig
from awnlib.results.layout import markdown
from awnlib.results.paper_values import paper_value, paper_widths
from awnlib.results.schemas import write_table_files
from awnlib.results.variants import AS_TRAINED, recalibration_points


def make_table1(
    exhibit: ExhibitConfig, history: pd.DataFrame, sweeps: pd.DataFrame, runs: pd.DataFrame
) -> pd.DataFrame:
    """Return training accuracy of the last epoch and test accuracy at the fixed widths of each panel.

    Parameters
    ----------
    exhibit
        Panels and methods to show.
    history, sweeps, runs
        The study's tables of these names (``sweeps`` is the table "sweep"); may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of "table1", a row per panel, method, variant, metric and width (largest first).
    """
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        widths = _fixed_widths(exhibit, panel, history, sweeps)
        for method in exhibit.methods:
            trained = _cell(runs, panel, method)
            seeds = sorted(trained["seed"].unique())
            final = _last_epoch(_without_failed(_cell(history, panel, method), trained))
            swept = _cell(sweeps, panel, method)
            for variant, label in _variants(swept, trained, method):
                tested = swept[swept["variant"] == variant]
                for metric, frame in (("train_top1_pct", final), ("test_top1_pct", tested)):
                    for width in widths:
                        values = _at_width(frame, width).set_index("seed")[metric].reindex(seeds)
                        keys = _keys(panel, method, label, variant) | {"width_mult": width, "metric": metric}
                        rows.append(keys | _summary(values))
    return with_paper_numbers(pd.DataFrame(rows, columns=TABLES["table1"].names), "table1")


def make_table2(exhibit: ExhibitConfig, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of every evaluation of each panel, averaged over seeds.

    Parameters
    ----------
    exhibit
        Panels and methods to show.
    evaluations
        The study's table of this name; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of "table2", a row per panel, method and variant. Individually trained networks have no AUC.
    """
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        for method in exhibit.methods:
            evaluated = _cell(evaluations, panel, method)
            for variant, label in _variants(evaluated, evaluated, method):
                aucs = evaluated[evaluated["variant"] == variant].groupby("seed")["auc_pct"].max()
                rows.append(_keys(panel, method, label, variant) | _summary(aucs))
    return with_paper_numbers(pd.DataFrame(rows, columns=TABLES["table2"].names), "table2")


def with_paper_numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Put the paper's numbers beside ours, in place of those that a table may have.

    Parameters
    ----------
    frame
        Rows of "table1" or "table2"; a published table may be older than a correction of the paper's numbers.
    name
        "table1" or "table2".

    Returns
    -------
    pandas.DataFrame
        The rows with `paper_pct` and `difference_pct`.
    """
    numbers = [_paper(name, {"metric": "auc_pct", **row}) for row in frame.to_dict("records")]
    paper = pd.Series(numbers, index=frame.index, dtype=float)
    return frame.assign(paper_pct=paper, difference_pct=frame["value_pct"].astype(float) - paper)


def write_exhibit_table(frame: pd.DataFrame, name: str, stem: str | Path, provenance: Mapping[str, str]) -> None:
    """Write ``<stem>.parquet``, ``<stem>.csv`` and, wide and for readers, ``<stem>.md``.

    Parameters
    ----------
    frame
        What ``make_<name>`` returned.
    name
        "table1" or "table2".
    stem
        The path without suffix.
    provenance
        Where the numbers come from.
    """
    write_table_files(stem, name, frame, provenance, markdown(frame, name))


def _cell(frame: pd.DataFrame, panel: PanelConfig, method: str) -> pd.DataFrame:
    """Return the rows of one method on one panel."""
    return frame.query("dataset == @panel.dataset and model == @panel.model and method == @method")


def _fixed_widths(
    exhibit: ExhibitConfig, panel: PanelConfig, history: pd.DataFrame, sweeps: pd.DataFrame
) -> list[float]:
    """Return the widths that some method of the panel was trained at; the paper's if nothing was trained."""
    widths: set[float] = set()
    for method in exhibit.methods:
        swept = _cell(sweeps, panel, method)
        widths |= _rounded(swept.loc[swept["is_trained"].astype(bool), "width_mult"])
        widths |= _rounded(_cell(history, panel, method)["width_mult"])
    paper = paper_widths("table1", dataset=panel.paper_dataset or panel.dataset, model=panel.model)
    return sorted(widths, reverse=True) or paper


def _rounded(widths: Iterable[float]) -> set[float]:
    return {round(float(width), 6) for width in widths if not pd.isna(width)}


def _without_failed(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the epochs of runs that did not end well."""
    for _, run in runs[runs["state"] != "ok"].iterrows():
        belongs = history["seed"] == run["seed"]
        if not pd.isna(run["individual_width"]):
            belongs &= history["width_mult"].round(6) == round(run["individual_width"], 6)
        history = history[~belongs]
    return history


def _last_epoch(history: pd.DataFrame) -> pd.DataFrame:
    return history.sort_values("epoch").drop_duplicates(["seed", "width_mult"], keep="last")


def _at_width(frame: pd.DataFrame, width_mult: float) -> pd.DataFrame:
    return frame[frame["width_mult"].astype(float).round(6) == width_mult]


def _variants(evaluated: pd.DataFrame, trained: pd.DataFrame, method: str) -> Iterator[tuple[str, str]]:
    """Yield (variant, label), fewest recalibrated widths first; of a method without evaluations, one stand-in."""
    pairs = evaluated[["variant", "label"]].drop_duplicates().itertuples(index=False, name=None)
    ordered = sorted(pairs, key=lambda pair: recalibration_points(pair[0]) or 0)
    yield from ordered or [(AS_TRAINED, next(iter(trained["label"]), method))]


def _keys(panel: PanelConfig, method: str, label: str, variant: str) -> dict[str, Any]:
    return {
        "model": panel.model,
        "dataset": panel.dataset,
        "paper_dataset": panel.paper_dataset or panel.dataset,
        "method": method,
        "label": label,
        "variant": variant,
    }


def _paper(exhibit: str, keys: Mapping[Hashable, Any]) -> float | None:
    names = ("model", "method", "variant", "metric")
    cell = {name: str(keys[name]) for name in names}
    return paper_value(exhibit, dataset=str(keys["paper_dataset"]), width_mult=keys.get("width_mult"), **cell)


def _summary(values: pd.Series[float]) -> dict[str, Any]:
    """Return mean and spread of one value per seed (null: failed)."""
    found = values.astype(float).dropna()
    mean = float(found.mean()) if len(found) else None
    return {
        "value_pct": mean,
        "std_pct": float(found.std(ddof=1)) if len(found) > 1 else None,
        "num_seeds": len(found),
        "missing": len(values) - len(found),
    }
