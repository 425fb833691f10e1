"""Greedy slimming of a network of all widths: the search, and the width vectors that it leaves."""

import pytest

from awnlib.evaluation.slimming import bin_counts, slimmed_counts, slimmed_networks, slimming_start, slimming_step


def test_bins():
    assert bin_counts(480, 48, 12) == [480, 440, 400, 360, 320, 280, 240, 200, 160, 120, 80]
    assert bin_counts(5, 1, 12) == [5, 4, 3, 2, 1]  # 5/12, 10/12 and so on, each once; never 0
    assert bin_counts(12, 12, 4) == [12]


OPTIONS = {"b": [3, 2, 1], "a": [4, 2]}


def macs_of(counts):
    return 10 * counts["a"] + counts["b"]


def errors_of(counts):
    """Fewest without channels of b; then a has to go."""
    return 100 - 5 * counts["a"] - counts["b"]


def slimmed(error_of=errors_of):
    full = {name: options[0] for name, options in OPTIONS.items()}
    rows = slimming_start(full, macs_of(full), error_of(full))
    while found := slimming_step(rows, OPTIONS, macs_of, error_of):
        rows += found
    return rows


def test_the_dimension_that_costs_fewest_errors_goes_first():
    """Computed by hand: b at 3, 2, 1, then a."""
    networks = [(one.counts, one.macs, one.error_pct) for one in slimmed_networks(slimmed())]
    assert networks == [
        ({"b": 3, "a": 4}, 43, 77),
        ({"b": 2, "a": 4}, 42, 78),
        ({"b": 1, "a": 4}, 41, 79),
        ({"b": 1, "a": 2}, 21, 89),
    ]
    tried = [(row["step"], row["channels"], row["count"], row["accepted"]) for row in slimmed() if row["step"] == 1]
    assert tried == [(1, "a", 2.0, False), (1, "b", 2.0, True)]


def test_of_equally_few_errors_the_first_name_goes():
    assert [one.counts["a"] for one in slimmed_networks(slimmed(lambda counts: 50.0))] == [4, 2, 2, 2]


def test_the_largest_network_that_fits_a_budget():
    rows = slimmed()
    assert slimmed_counts(rows) == slimmed_counts(rows, 40) == {"b": 1, "a": 2}
    assert slimmed_counts(rows, 41) == {"b": 1, "a": 4}
    assert slimmed_counts(rows, 1e9) == {"b": 3, "a": 4}
    with pytest.raises(ValueError, match=r"slimming ended at 21 MACs, above the budget of 20"):
        slimmed_counts(rows, 20)
