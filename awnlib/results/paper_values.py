"""The numbers of a paper, to stand beside ours: rows of ``papers/<paper>/values.csv``.

Names of methods, variants, models and data sets are this package's. A paper that does not say at how many widths
BN statistics were computed has variants without `recal<widths>-`: `moving-512`, or nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from awnlib.results.variants import parse_variant

PAPERS = Path(__file__).parents[1] / "papers"
KEYS = ("exhibit", "dataset", "test_set", "model", "method", "variant", "width_mult", "metric")
Key = tuple[str, ...]


@dataclass(frozen=True)
class PaperValues:
    """The numbers of one paper by what they are of."""

    by_key: Mapping[Key, float] = field(default_factory=dict)

    def value(
        self,
        exhibit: str,
        *,
        model: str,
        method: str,
        variant: str,
        metric: str,
        dataset: str = "",
        test_set: str = "",
        width_mult: float | None = None,
    ) -> float | None:
        """Return the paper's number for one cell of a table or figure, in our units; None if it reports none.

        A number of the very variant goes before one of how its statistics were computed, at whatever number of widths;
        that is one of no variant if they were computed as the study says.

        Parameters
        ----------
        exhibit
            The short name of a table or figure, or another group of numbers such as "model_size".
        model, method, variant
            As in a study; ``variant`` is "as_trained", "recal10", "recal10-moving-512" and the like.
        metric
            As in the study's tables ("top1_pct"), or a name of the group's own.
        dataset, test_set
            The paper's data set, and which of its images; "train" for those of training.
        width_mult
            The width of the number; None for numbers of a whole curve.

        Raises
        ------
        ValueError
            If there is no such variant.
        """
        names = dict.fromkeys((variant, parse_variant(variant).own))
        keys = [(exhibit, dataset, test_set, model, method, name, _width(width_mult), metric) for name in names]
        return next((self.by_key[key] for key in keys if key in self.by_key), None)

    def widths(self, exhibit: str, *, dataset: str, model: str) -> list[float]:
        """Return the widths at which an exhibit has numbers for a panel, largest first."""
        found = {key[6] for key in self.by_key if (key[0], key[1], key[3]) == (exhibit, dataset, model) and key[6]}
        return sorted(map(float, found), reverse=True)

    def datasets(self) -> list[str]:
        """Return the names of the data sets that the paper has numbers for."""
        return sorted({key[1] for key in self.by_key} - {""})

    def of_exhibit(self, exhibit: str) -> dict[str, float]:
        """Return all numbers of an exhibit, by their keys in one line."""
        return {"/".join(key[1:]): value for key, value in self.by_key.items() if key[0] == exhibit}


@cache
def paper_values(paper: str) -> PaperValues:
    """Return the numbers of a paper; none if its folder has no `values.csv`."""
    path = PAPERS / paper / "values.csv"
    if not path.is_file():
        return PaperValues()
    with path.open(newline="", encoding="utf-8") as file:
        return PaperValues({tuple(row[key] for key in KEYS): float(row["value"]) for row in csv.DictReader(file)})


def _width(width_mult: float | None) -> str:
    return "" if width_mult is None else str(round(float(width_mult), 6))
