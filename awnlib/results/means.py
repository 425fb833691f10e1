"""Means over seeds and how two of them are compared.

A difference is decided by its confidence interval (`difference_interval`): it is above a limit if all of the interval
is, and two means are alike if all of it lies within a margin. What the interval leaves open is "undecided".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from awnlib.results.findings import Verdict

CONFIDENCE = 0.9
OF_ONE_SEED_PCT = 1.0
"""Percentage points of accuracy: the standard deviation that a mean of one seed is taken to have.

Those published of three seeds are 0.05 to 1.26 points.
"""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, to be compared with another.

    Attributes
    ----------
    value, std
        The mean of one value per seed, and their standard deviation (n - 1).
    num_seeds
        How many there are; infinitely many of an `exact` number.
    of_one
        The standard deviation that a single seed, which has none, is taken to have. Infinite: it decides nothing.
    """

    value: float
    std: float
    num_seeds: float
    of_one: float = math.inf

    @property
    def variance(self) -> float:
        """The square of the mean's standard error."""
        return self.of_one**2 if self.num_seeds < 2 else self.std**2 / self.num_seeds

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance; a number that is taken for granted has infinitely many."""
        return self.num_seeds - 1 if self.num_seeds >= 2 else math.inf

    def times(self, factor: float) -> Mean:
        """Return the mean of values that are so many times as large."""
        return Mean(factor * self.value, factor * self.std, self.num_seeds, factor * self.of_one)

    def minus(self, other: Mean) -> Mean:
        """Return the mean difference to another, as if of pairs of independent seeds."""
        num_seeds = min(self.num_seeds, other.num_seeds)
        std, of_one = math.hypot(self.std, other.std), math.hypot(self.of_one, other.of_one)
        return Mean(self.value - other.value, std, num_seeds, of_one)


def mean_of_row(row: pd.Series, score: str = "score", std: str = "std") -> Mean:
    """Return the accuracy of a row of a table, in percent, from its columns `score`, `std` and "num_seeds"."""
    value, spread = pd.to_numeric(row[[score, std]])
    return Mean(float(value), float(spread), int(row["num_seeds"]), OF_ONE_SEED_PCT)


def mean_of(values: pd.Series[Any], of_one: float = math.inf) -> Mean:
    """Return the `Mean` of one value per seed."""
    found = values.astype(float).dropna()
    return Mean(float(found.mean()), float(found.std()), len(found), of_one)


def exact(value: float) -> Mean:
    """Return a number that no seed changes."""
    return Mean(value, 0.0, math.inf)


def difference_interval(first: Mean, second: Mean) -> tuple[float, float]:
    """Return the 90 % confidence interval of the difference of two means (Welch's, for unequal deviations).

    Each of its two sides is wrong in one case of twenty. With few seeds it is wide.
    """
    difference = first.value - second.value
    parts = [(mean.variance, mean.freedom) for mean in (first, second)]
    variance = sum(part for part, _ in parts)
    if variance in (0, math.inf):  # nothing is open, or everything
        return difference - variance, difference + variance
    uncertain = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / uncertain if uncertain else math.inf
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return difference - reach, difference + reach


def above(first: Mean, second: Mean, by: float = 0.0) -> Verdict:
    """Return whether the first mean is more than `by` above the second; negative: at most so much below it."""
    low, high = difference_interval(first, second)
    if low > by:
        return "holds"
    return "does not hold" if high < by else "undecided"


def alike(first: Mean, second: Mean, margin: float) -> Verdict:
    """Return whether two means are at most `margin` apart: two one-sided tests, so that it takes enough seeds."""
    low, high = difference_interval(first, second)
    if -margin <= low and high <= margin:
        return "holds"
    return "does not hold" if low > margin or high < -margin else "undecided"
