"""AutoSlim: train a network of all widths, then take away the channels whose loss it notices least.

Training is that of US-Nets with widths of the dimensions drawn one by one: the largest network, the smallest one and
random ones, the others learning from the largest. Slimming starts at the largest network. In each step every dimension
is tried with one bin of channels fewer, and the network with the fewest errors on held-out training images is kept,
whatever MACs it saves. BN uses the statistics of the batch, never running ones: those would be of another width.

References
----------
Yu and Huang, AutoSlim, sections 3.1 to 3.3; US-Nets, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from awnlib.channels import round_channels
from awnlib.data import chosen_training_batches
from awnlib.data.splits import hold_out
from awnlib.seeding import rng
from awnlib.width_transfer.optimizer import Counts, Problem, SupernetOptimizer
from awnlib.width_transfer.options import AutoSlimSettings


class AutoSlim(SupernetOptimizer):
    """Train, then slim greedily; of networks with equally few errors the first dimension by name is slimmed.

    Attributes
    ----------
    counts
        Channels of the network that slimming has reached.

    Raises
    ------
    ValueError
        If the budget is outside the network's range, or a class has too few images to be held out.
    """

    settings: AutoSlimSettings

    def __init__(self, problem: Problem, settings: AutoSlimSettings, seed: int, device: torch.device) -> None:
        super().__init__(problem, settings, seed, device)
        self.train_data, held_out = hold_out(problem.data, settings.held_out, seed)
        self.bins = {name: bin_counts(full, self.smallest[name], settings.bins) for name, full in self.full.items()}
        self.batches = self._batches(held_out[: settings.num_images])

    def smallest_counts(self) -> dict[str, int]:
        """Return the smallest count of each dimension: its last bin."""
        smallest = super().smallest_counts()
        return {name: bin_counts(full, smallest[name], self.settings.bins)[-1] for name, full in self.full.items()}

    def backward(self, images: Tensor, labels: Tensor, step: int, progress: float) -> Tensor:
        """Add the gradients of the sandwich: largest, smallest, random networks."""
        generator = rng(self.seed, "widths", step)
        drawn = [random_counts(self.smallest, self.full, generator) for _ in range(self.settings.num_random)]
        return self.backward_sandwich(images, labels, drawn)

    @property
    def counts(self) -> dict[str, int]:
        """Channels of the network that slimming has reached."""
        return {**self.full, **{row["channels"]: int(row["count"]) for row in self.rows if row["accepted"]}}

    def refine(self) -> bool:
        """Take one step of the slimming; False if the budget (or the smallest network) is reached."""
        counts = self.counts
        if not self.rows:
            self.record(0, counts, self.problem.macs(counts), self.error_pct(counts))
        fewer = {name: next((c for c in self.bins[name] if c < count), None) for name, count in counts.items()}
        candidates = {name: count for name, count in sorted(fewer.items()) if count is not None}
        goes_on = self.settings.slim_to_smallest or self.problem.macs(counts) > self.problem.budget
        if not candidates or not goes_on:
            return False
        step = self.rows[-1]["step"] + 1
        errors = {name: self.error_pct({**counts, name: count}) for name, count in candidates.items()}
        best = min(errors, key=errors.__getitem__)  # the first of several, and they are sorted by name
        for name, count in candidates.items():
            macs = float(self.problem.macs({**counts, name: count}))
            row = {"step": step, "channels": name, "count": float(count), "macs": macs, "error_pct": errors[name]}
            self.rows.append({**row, "accepted": name == best})
        return True

    @property
    def refinements(self) -> int:
        """How many steps lead from the largest to the smallest network."""
        return sum(len(counts) - 1 for counts in self.bins.values())

    @torch.no_grad()
    def error_pct(self, counts: Counts) -> float:
        """Return the share of held-out images that a network classifies wrongly, with the statistics of the batch."""
        self.model.train()
        self.model.set_widths(self.widths(counts))
        wrong = torch.zeros((), dtype=torch.int64, device=self.device)
        for images, labels in self.batches:
            wrong += (self.model(images).argmax(dim=1) != labels).sum()
        num_images = sum(len(labels) for _, labels in self.batches)
        self.ledger.spend("evaluation", self.problem.macs(counts), num_images)
        return 100 * int(wrong) / num_images

    def multipliers(self) -> dict[str, float]:
        """Return the first network of the slimming that fits the budget."""
        return self.problem.multipliers(slimmed_counts(self.rows, self.problem.budget))

    def _batches(self, held_out: Tensor) -> list[tuple[Tensor, Tensor]]:
        data = self.problem.data
        size = -(-len(held_out) // -(-len(held_out) // self.settings.evaluation_batch_size))
        return list(chosen_training_batches(data, held_out, size, self.device, self.settings.num_workers))


def bin_counts(full: int, smallest: int, bins: int) -> list[int]:
    """Return the counts of a dimension in slimming, falling: i / bins of all channels, rounded, not below `smallest`.

    A dimension with fewer channels than bins has a bin for each.
    """
    counts = {round_channels(full * index / bins, 1) for index in range(1, bins + 1)}
    return sorted((count for count in counts if count >= smallest), reverse=True)


def random_counts(smallest: Counts, full: Counts, generator: torch.Generator) -> dict[str, int]:
    """Return counts with a multiplier for each dimension, drawn uniformly between the smallest and the full one."""
    drawn = torch.rand(len(full), generator=generator, dtype=torch.float64).tolist()
    exact = {name: low + u * (full[name] - low) for u, (name, low) in zip(drawn, smallest.items(), strict=True)}
    return {name: round_channels(count, 1) for name, count in exact.items()}


def slimmed_counts(rows: Iterable[Mapping[str, Any]], budget: int) -> dict[str, int]:
    """Return the largest network of a slimming that fits a budget, the search's own or another that it went through.

    Parameters
    ----------
    rows
        The table of one search (one fold): `WidthOptimizer.rows`, or its file's rows as mappings.
    budget
        MACs of one image.

    Raises
    ------
    ValueError
        If the slimming did not go so far.
    """
    counts: dict[str, int] = {}
    macs, reached = float("inf"), 0
    for row in rows:
        if row["step"] > reached and macs <= budget:
            break
        if row["accepted"]:
            counts[row["channels"]], macs, reached = int(row["count"]), row["macs"], row["step"]
    if macs > budget:
        raise ValueError(f"slimming ended at {macs:,.0f} MACs, above the budget of {budget:,}")
    return counts
