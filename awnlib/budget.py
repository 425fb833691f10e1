"""Channel counts that cost what they may: one factor for all multipliers, then single channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from awnlib.channels import round_channels

TOLERANCE = 0.01
"""How far MACs may be from the budget, as a fraction of it."""
MacsOf = Callable[[Mapping[str, int]], int]
"""MACs of one image as a function of the channel counts by name."""


def rounded_counts(multipliers: Mapping[str, float], full: Mapping[str, int]) -> dict[str, int]:
    """Return each full count times its multiplier, rounded, halves up, but at least 1."""
    return {name: max(1, round_channels(multipliers[name] * count, 1)) for name, count in full.items()}


def scale_to_budget(
    multipliers: Mapping[str, float], full: Mapping[str, int], macs_of: MacsOf, budget: int
) -> dict[str, float]:
    """Return the multipliers times the largest factor whose rounded counts cost no more than the budget.

    MorphNet, Algorithm 1, step 3; the factor is found by bisection, because rounded MACs are a staircase.

    Raises
    ------
    ValueError
        If the budget is below the MACs of one channel in each dimension.
    """

    def fits(factor: float) -> bool:
        return macs_of(rounded_counts(_times(multipliers, factor), full)) <= budget

    if not fits(0.0):
        raise ValueError(f"a budget of {budget:,} MACs is too small for one channel in each dimension")
    low, high = 0.0, 1.0
    while fits(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if fits(middle) else (low, middle)
    return _times(multipliers, low)


def fill_budget(
    multipliers: Mapping[str, float], full: Mapping[str, int], macs_of: MacsOf, budget: int
) -> dict[str, int]:
    """Return the rounded counts with single channels added where they still fit.

    The next channel goes to the dimension that lost most by rounding, the first by name of several, as long as one has
    lost anything. In a network so small that more than `TOLERANCE` of the budget is left then, it goes on.
    """
    counts = rounded_counts(multipliers, full)

    def lost(name: str) -> float:
        return multipliers[name] * full[name] - counts[name]

    def wider(name: str) -> dict[str, int]:
        return {**counts, name: counts[name] + 1}

    while fitting := [name for name in sorted(counts) if macs_of(wider(name)) <= budget]:
        name = max(fitting, key=lost)
        if lost(name) <= 0 and budget - macs_of(counts) <= TOLERANCE * budget:
            break
        counts = wider(name)
    return counts


def _times(multipliers: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: factor * multiplier for name, multiplier in multipliers.items()}
