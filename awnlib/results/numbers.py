"""Numbers as readers see them: with a mark where there is none, and with their spread over the seeds."""

from __future__ import annotations

from typing import Any

import pandas as pd

HOLE = "—"


def number(value: float | None, spec: str, unit: str = "") -> str:
    """Return a number in a format such as ".2f" with its unit, or `HOLE` if it is null."""
    return HOLE if pd.isna(value) else format(value, spec) + unit


def with_spread(mean: float | None, std: float | None, spec: str = ".2f") -> str:
    """Return a mean and its standard deviation: ``90.42 ± 0.10``; a null deviation (one seed) is left out.

    Only the mean is shown with the sign that `spec` asks for.
    """
    return number(mean, spec) + ("" if pd.isna(std) else f" ± {std:{spec.lstrip('+')}}")


def mean_with_spread(values: pd.Series[Any], spec: str = ".2f") -> str:
    """Return the mean of one value per seed and their standard deviation (n - 1) as `with_spread` does."""
    return with_spread(values.mean(), values.std(), spec)
