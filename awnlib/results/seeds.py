"""Cells of a table: one number for each seed becomes a mean with its spread, beside the paper's number."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from awnlib.results.variants import AS_TRAINED, in_order

if TYPE_CHECKING:
    from awnlib.results.exhibits import Exhibit, PanelConfig


def exhibit_keys(exhibit: Exhibit, panel: PanelConfig, method: str, label: str, variant: str) -> dict[str, Any]:
    """Return the columns of the table `exhibit` that name a cell, but for width and images."""
    return {
        "model": panel.model,
        "dataset": panel.dataset,
        "paper_dataset": panel.paper_dataset or panel.dataset,
        "method": method,
        "label": label,
        "variant": variant,
        "metric": exhibit.metric.name,
    }


def variants_of(evaluated: pd.DataFrame, trained: pd.DataFrame, method: str) -> Iterator[tuple[str, str]]:
    """Yield (variant, label), fewest recalibrated widths first; of a method without evaluations, one stand-in."""
    labels = dict(evaluated[["variant", "label"]].itertuples(index=False, name=None))
    yield from [(variant, labels[variant]) for variant in in_order(labels)] or [
        (AS_TRAINED, next(iter(trained["label"]), method))
    ]


def over_seeds(values: pd.Series[float]) -> dict[str, Any]:
    """Return mean and spread of one value per seed (null: failed)."""
    found = values.astype(float).dropna()
    mean = float(found.mean()) if len(found) else None
    return {
        "score": mean,
        "std": float(found.std(ddof=1)) if len(found) > 1 else None,
        "num_seeds": len(found),
        "missing": len(values) - len(found),
    }


def with_paper_numbers(exhibit: Exhibit, frame: pd.DataFrame) -> pd.DataFrame:
    """Put the paper's numbers beside ours, in place of those that a table may have.

    Parameters
    ----------
    exhibit
        What the rows are of.
    frame
        Rows of the table `exhibit`; a published one may be older than a correction of the paper's numbers.

    Returns
    -------
    pandas.DataFrame
        The rows with `paper_score` and `difference`.
    """
    numbers = [_paper_number(exhibit, row) for row in frame.to_dict("records")]
    paper = pd.Series(numbers, index=frame.index, dtype=float)
    return frame.assign(paper_score=paper, difference=frame["score"].astype(float) - paper)


def _paper_number(exhibit: Exhibit, row: Mapping[Hashable, Any]) -> float | None:
    names = ("model", "method", "variant", "metric", "test_set")
    cell = {name: str(row[name]) for name in names}
    width_mult = None if pd.isna(row["width_mult"]) else float(row["width_mult"])
    return exhibit.paper.value(exhibit.short_name, dataset=str(row["paper_dataset"]), width_mult=width_mult, **cell)
