"""Intervals beside scipy's, and verdicts that follow from them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from awnlib.results.means import Mean, above, alike, difference_interval, exact, mean_of, mean_of_row


def test_the_interval_is_welchs():
    one, other = [70.0, 71.5, 73.0], [68.0, 72.0, 69.0, 70.0, 66.0]
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    found = difference_interval(*(mean_of(pd.Series(values)) for values in (one, other)))
    np.testing.assert_allclose(found, [expected.low, expected.high])


def test_of_paired_seeds_it_is_students():
    pairs = [1.0, 0.2, 0.9]
    expected = stats.ttest_1samp(pairs, 0).confidence_interval(0.9)
    np.testing.assert_allclose(difference_interval(mean_of(pd.Series(pairs)), exact(0)), list(expected))


def test_one_seed_has_the_deviation_that_it_is_given():
    """Two of one seed: 1.645 standard errors of sqrt(2); without a deviation nothing is known."""
    single = Mean(70.0, math.nan, 1, of_one=1.0)
    low, high = difference_interval(single, Mean(68.0, math.nan, 1, of_one=1.0))
    np.testing.assert_allclose([low, high], [2 - 1.6449 * 2**0.5, 2 + 1.6449 * 2**0.5], rtol=1e-3)
    assert difference_interval(Mean(70.0, math.nan, 1), exact(0)) == (-math.inf, math.inf)
    assert above(Mean(70.0, math.nan, 1), exact(0)) == "undecided"
    mixed = difference_interval(single, mean_of(pd.Series([68.0, 68.2, 67.8])))
    np.testing.assert_allclose(
        mixed, [2 - 1.6449 * (1 + 0.04 / 3) ** 0.5, 2 + 1.6449 * (1 + 0.04 / 3) ** 0.5], rtol=1e-2
    )


def test_seeds_that_agree_to_the_last_digit_leave_nothing_open():
    assert difference_interval(mean_of(pd.Series([2.0, 2.0])), exact(1.5)) == (0.5, 0.5)


def test_failed_seeds_do_not_count():
    assert mean_of(pd.Series([1.0, None, 3.0])) == Mean(2.0, 2**0.5, 2)


def test_a_row_of_a_table():
    row = pd.Series({"score": 70.0, "std": None, "num_seeds": 1}, dtype=object)
    assert mean_of_row(row).variance == 1.0
    assert (
        mean_of_row(pd.Series({"top1_pct": 70.0, "std_pct": 3.0, "num_seeds": 9}), "top1_pct", "std_pct").variance == 1
    )


@pytest.mark.parametrize(
    ("first", "by", "verdict"),
    [(1.0, 0.0, "holds"), (0.3, 0.0, "undecided"), (-1.0, 0.0, "does not hold"), (-0.1, -0.5, "holds"),
     (-0.5, -0.5, "undecided"), (-1.0, -0.5, "does not hold"), (1.0, 2.0, "does not hold")],
)  # fmt: skip
def test_above(first, by, verdict):
    """The interval is 0.348 to both sides: 2.132 for four degrees of freedom, 0.2 and three seeds twice."""
    assert above(Mean(first, 0.2, 3), Mean(0.0, 0.2, 3), by=by) == verdict


@pytest.mark.parametrize(
    ("difference", "num_seeds", "verdict"),
    [(0.0, 3, "holds"), (-0.1, 3, "holds"), (0.2, 3, "undecided"), (0.9, 3, "does not hold"),
     (-0.9, 3, "does not hold"), (0.0, 2, "undecided"), (0.2, 9, "holds")],
)  # fmt: skip
def test_equal_means_are_alike_only_with_enough_seeds(difference, num_seeds, verdict):
    assert alike(Mean(difference, 0.2, num_seeds), Mean(0.0, 0.2, num_seeds), 0.5) == verdict


def test_sums_and_multiples():
    assert Mean(2.0, 1.0, 4, of_one=1.0).times(1.5) == Mean(3.0, 1.5, 4, of_one=1.5)
    assert Mean(2.0, 3.0, 4).minus(Mean(1.0, 4.0, 3)) == Mean(1.0, 5.0, 3)
