"""What is worth keeping of a study's results, whatever its kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Contents:
    """What is worth keeping of a study's results.

    Attributes
    ----------
    tables
        Names of parquet tables besides those for readers, which the study knows.
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
    lost: list[str]
    records: list[Path]
    seconds: dict[str, list[float]]
    origin: dict[str, str]


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
