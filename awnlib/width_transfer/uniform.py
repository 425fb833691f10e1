"""The baseline of all width optimisers: one multiplier for all dimensions (MobileNets' width multiplier)."""

from __future__ import annotations

from collections.abc import Mapping

from awnlib.width_transfer.optimizer import Problem, WidthOptimizer


class Uniform(WidthOptimizer):
    """The largest multiplier that fits the budget, the same for all dimensions.

    Single channels are not added, so that the multipliers are equal: the MACs may stay below the budget by the cost of
    a channel in each dimension of one size.

    Raises
    ------
    ValueError
        If the budget is below the MACs of one channel in each dimension.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        super().__init__(problem, seed)
        problem.check_budget(dict.fromkeys(problem.network.counts, 1))

    def multipliers(self) -> dict[str, float]:
        """Return 1 for all dimensions."""
        return dict.fromkeys(self.problem.network.counts, 1.0)

    def at_budget(self, multipliers: Mapping[str, float]) -> dict[str, float]:
        """Return the largest multiplier that fits, for all dimensions."""
        return self.problem.scale(multipliers)
