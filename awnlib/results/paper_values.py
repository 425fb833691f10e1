"""The numbers of the paper (Vu, Eder, Price and Frahm: Any-Width Networks, 2020), to stand beside ours.

They are rows of ``papers/any_width_networks/values.csv``; the names of methods, variants, models and data sets are this
package's.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

VALUES = Path(__file__).parents[1].joinpath("papers", "any_width_networks", "values.csv")
KEYS = ("exhibit", "dataset", "model", "method", "variant", "width_mult", "metric")


def paper_value(
    exhibit: str,
    *,
    model: str,
    method: str,
    variant: str,
    metric: str,
    dataset: str = "",
    width_mult: float | None = None,
) -> float | None:
    """Return the paper's number for one cell of a table or figure, in percent; None if it reports none.

    Parameters
    ----------
    exhibit
        "table1", "table2", "figure6" or "model_size".
    model, method, variant
        As in a study; ``variant`` is "as_trained" or "recal<number of widths>".
    metric
        "train_top1_pct", "test_top1_pct", "auc_pct" or "extra_size_pct".
    dataset
        The paper's data set: "mnist", "fashion_mnist", "cifar10" or "cifar100"; empty for "model_size".
    width_mult
        The width of a number of Table 1; None for numbers of a whole curve.
    """
    return _values().get((exhibit, dataset, model, method, variant, _width(width_mult), metric))


def paper_widths(exhibit: str, *, dataset: str, model: str) -> list[float]:
    """Return the widths at which an exhibit of the paper has numbers for a panel, largest first."""
    found = {key[5] for key in _values() if key[:3] == (exhibit, dataset, model) and key[5]}
    return sorted(map(float, found), reverse=True)


def paper_datasets() -> list[str]:
    """Return the names of the data sets that the paper has numbers for."""
    return sorted({key[1] for key in _values()} - {""})


@cache
def _values() -> dict[tuple[str, ...], float]:
    with VALUES.open(newline="", encoding="utf-8") as file:
        return {tuple(row[key] for key in KEYS): float(row["value"]) for row in csv.DictReader(file)}


def _width(width_mult: float | None) -> str:
    return "" if width_mult is None else str(round(float(width_mult), 6))
