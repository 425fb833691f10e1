"""AutoSlim: train a network of all widths, then take away the channels whose loss it notices least.

Training is that of US-Nets with widths of the dimensions drawn one by one: the largest network, the smallest one and
random ones, the others learning from the largest. Slimming (`awnlib.evaluation.slimming`) takes a bin of channels away
in each step, judged by the errors on held-out training images. BN uses the statistics of the batch, never running ones:
those would be of another width.

References
----------
Yu and Huang, AutoSlim, sections 3.1 to 3.3; US-Nets, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from awnlib.channels import round_channels
from awnlib.data.splits import hold_out
from awnlib.evaluation.slimming import (
    batch_error_pct,
    bin_counts,
    equal_batches,
    slimmed_counts,
    slimming_start,
    slimming_step,
)
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
        chosen, most = held_out[: settings.num_images], settings.evaluation_batch_size
        self.batches = equal_batches(problem.data, chosen, most, device, settings.num_workers)

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
        return slimmed_counts(self.rows) if self.rows else dict(self.full)

    def refine(self) -> bool:
        """Take one step of the slimming; False if the budget (or the smallest network) is reached."""
        counts = self.counts
        if not self.rows:
            self.rows += slimming_start(counts, self.problem.macs(counts), self.error_pct(counts))
        if not self.settings.slim_to_smallest and self.problem.macs(counts) <= self.problem.budget:
            return False
        found = slimming_step(self.rows, self.bins, self.problem.macs, self.error_pct)
        self.rows += found
        return bool(found)

    @property
    def refinements(self) -> int:
        """How many steps lead from the largest to the smallest network."""
        return sum(len(counts) - 1 for counts in self.bins.values())

    def error_pct(self, counts: Counts) -> float:
        """Return the share of held-out images that a network classifies wrongly, with the statistics of the batch."""
        self.model.set_widths(self.widths(counts))
        num_images = sum(len(labels) for _, labels in self.batches)
        self.ledger.spend("evaluation", self.problem.macs(counts), num_images)
        return batch_error_pct(self.model, self.batches)

    def multipliers(self) -> dict[str, float]:
        """Return the first network of the slimming that fits the budget."""
        return self.problem.multipliers(slimmed_counts(self.rows, self.problem.budget))


def random_counts(smallest: Counts, full: Counts, generator: torch.Generator) -> dict[str, int]:
    """Return counts with a multiplier for each dimension, drawn uniformly between the smallest and the full one."""
    drawn = torch.rand(len(full), generator=generator, dtype=torch.float64).tolist()
    exact = {name: low + u * (full[name] - low) for u, (name, low) in zip(drawn, smallest.items(), strict=True)}
    return {name: round_channels(count, 1) for name, count in exact.items()}
