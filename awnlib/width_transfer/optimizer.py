"""What every width optimiser is: a training configuration goes in, a multiplier for each dimension comes out.

`Problem` is the training configuration of Width Transfer, section 3.1, with the cost model; `WidthOptimizer` is the
interface; `SupernetOptimizer` is one that trains a network, and holds what the three of the papers share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from awnlib.budget import fill_budget, rounded_counts, scale_to_budget
from awnlib.data import DataSet
from awnlib.models import ModelSpec, SlimmableModel, create_model
from awnlib.seeding import seeded
from awnlib.tasks.classification import backward_widths
from awnlib.width_transfer.costs import layer_costs, total_macs
from awnlib.width_transfer.ledger import ALL_GRADIENTS, Ledger
from awnlib.width_transfer.options import SupernetSettings
from awnlib.width_transfer.vector import Network

Counts = Mapping[str, int]
Batch = tuple[Tensor, Tensor]
"""Images and labels."""


class Problem:
    """A training configuration: the data, the un-optimised network, and the MACs that its widths may cost.

    Parameters
    ----------
    data
        Images and labels; the test set is not touched.
    network
        The un-optimised network. Its layers are taken as sliced, whatever the specification says, as in the papers.
    budget
        MACs of one image; None for those of the un-optimised network.

    Attributes
    ----------
    network
        Name and channel counts of the un-optimised network.

    Raises
    ------
    ValueError
        If the network is for other images or classes.
    """

    def __init__(self, data: DataSet, network: ModelSpec, budget: int | None = None) -> None:
        for key, wanted, found in (
            ("input_shape", data.image_shape, network.input_shape),
            ("num_classes", data.num_classes, network.num_classes),
        ):
            if wanted != found:
                raise ValueError(f"{network.name}: {key} must be {wanted} for {data.name}, found {found}")
        self.data = data
        self.spec = network
        model = self.create()
        self.network = Network.of(model)
        self.layers = layer_costs(model)
        self.budget = self.macs(self.network.counts) if budget is None else budget

    def create(self, seed: int = 0, **options: Any) -> SlimmableModel:
        """Return the network with sliced layers, other values of some options, and the initial weights of a seed."""
        with seeded(seed, "weights"):
            return create_model(**{**self.spec.model_dump(), "layer": "sliced", "norm": "shared", **options})

    def macs(self, counts: Counts) -> int:
        """Return the MACs of one image with these channel counts."""
        return total_macs(self.layers, lambda channels: counts.get(channels.name, channels.full))

    def counts(self, multipliers: Mapping[str, float]) -> dict[str, int]:
        """Return the un-optimised counts times the multipliers, rounded, at least 1."""
        return rounded_counts(multipliers, self.network.counts)

    def multipliers(self, counts: Mapping[str, float]) -> dict[str, float]:
        """Return counts, whole or not, relative to the un-optimised ones."""
        return {name: counts[name] / full for name, full in self.network.counts.items()}

    def scale(self, multipliers: Mapping[str, float]) -> dict[str, float]:
        """Return the multipliers times the largest factor that fits the budget."""
        return scale_to_budget(multipliers, self.network.counts, self.macs, self.budget)

    def match(self, multipliers: Mapping[str, float]) -> dict[str, float]:
        """Return multipliers of whole counts that cost the budget, up to less than a channel: `scale`, then fill."""
        scaled = self.scale(multipliers)
        return self.multipliers(fill_budget(scaled, self.network.counts, self.macs, self.budget))

    def check_budget(self, smallest: Counts, largest: Counts | None = None) -> None:
        """Raise a ValueError if the budget is not between the MACs of the smallest and the largest network."""
        low = self.macs(smallest)
        high = None if largest is None else self.macs(largest)
        if self.budget < low or (high is not None and self.budget > high):
            allowed = f"at least {low:,}" if high is None else f"between {low:,} and {high:,}"
            raise ValueError(
                f"the budget must be {allowed} MACs to be in reach of this search of {self.network.title}, "
                f"found {self.budget:,}"
            )


class WidthOptimizer(ABC):
    """One search of a width optimiser.

    Parameters
    ----------
    problem
        What to optimise.
    seed
        Of everything random.

    Attributes
    ----------
    ledger
        The MACs spent so far.
    rows
        What the search went through: rows of the table `width_search`, without the column of the fold.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem = problem
        self.seed = seed
        self.ledger = Ledger()
        self.rows: list[dict[str, Any]] = []

    @abstractmethod
    def multipliers(self) -> dict[str, float]:
        """Return what was found, relative to the un-optimised counts, before the budget is matched."""

    def at_budget(self, multipliers: Mapping[str, float]) -> dict[str, float]:
        """Return multipliers in the same proportion at the budget."""
        return self.problem.match(multipliers)

    def record(self, step: int, counts: Mapping[str, float], macs: float, error_pct: float | None = None) -> None:
        """Add a row for each dimension."""
        for name, count in counts.items():
            row = {"step": step, "channels": name, "count": float(count), "macs": float(macs)}
            self.rows.append({**row, "error_pct": error_pct, "accepted": True})


class SupernetOptimizer(WidthOptimizer):
    """A search that trains one network whose dimensions are chosen one by one.

    The network has sliced layers, `enlargement` times the un-optimised channels, and norms that are used in training
    mode only: no running statistics fit all its widths.

    Attributes
    ----------
    model
        The network in training.
    full, smallest
        Its largest and smallest counts.
    train_data
        What it is trained with.

    Raises
    ------
    ValueError
        If the budget is not between its smallest and its largest network.
    """

    def __init__(self, problem: Problem, settings: SupernetSettings, seed: int, device: torch.device) -> None:
        super().__init__(problem, seed)
        self.settings = settings
        self.device = device
        self.train_data = problem.data
        unoptimised = problem.network.counts
        self.full = rounded_counts(dict.fromkeys(unoptimised, settings.enlargement), unoptimised)
        self.smallest = self.smallest_counts()
        self.check_budget()
        self.model = self._create_model()

    def smallest_counts(self) -> dict[str, int]:
        """Return the smallest count of each dimension."""
        unoptimised = self.problem.network.counts
        return rounded_counts(dict.fromkeys(unoptimised, self.settings.min_width_mult), unoptimised)

    def check_budget(self) -> None:
        """Raise a ValueError if the search cannot end at the budget."""
        self.problem.check_budget(self.smallest, self.full)

    @abstractmethod
    def backward(self, images: Tensor, labels: Tensor, step: int, progress: float) -> Tensor:
        """Add the gradients of a training step's loss on some images and return it.

        Parameters
        ----------
        images, labels
            One batch, or a part of it.
        step, progress
            Steps taken before, and what fraction of all steps they are.
        """

    def after_step(self, parts: Sequence[Batch], progress: float) -> None:
        """Do what follows a step of the weights, with the same batch in its parts."""

    def end_epoch(self, epoch: int) -> None:
        """Record how far the search has come."""

    def refine(self) -> bool:
        """Do a part of the work that follows training; False if there is no more."""
        return False

    @property
    def refinements(self) -> int:
        """How many parts that work has at most."""
        return 0

    def tensors(self) -> dict[str, Tensor]:
        """Return the search's own tensors, for a checkpoint; the engine restores them in place."""
        return {}

    def widths(self, counts: Counts) -> dict[str, float]:
        """Return the width vector of the network in training that has these counts."""
        return {name: counts[name] / full for name, full in self.full.items()}

    def backward_sandwich(self, images: Tensor, labels: Tensor, drawn: Sequence[Counts]) -> Tensor:
        """Add the gradients of the largest network, the smallest and random ones; return the sum of their losses.

        All but the largest learn from its output (US-Nets, section 4).
        """
        sandwich = [self.full, self.smallest, *drawn]
        widths = [self.widths(counts) for counts in sandwich]
        losses, _ = backward_widths(self.model, images, labels, widths, distillation=True)
        kinds = ["largest width", "smallest width", *["random widths"] * len(drawn)]
        for kind, counts in zip(kinds, sandwich, strict=True):
            self.ledger.spend(f"supernet step, {kind}", self.problem.macs(counts), len(images), backward=ALL_GRADIENTS)
        return losses.sum()

    def _create_model(self) -> SlimmableModel:
        smallest = min(self.widths(self.smallest).values())
        options = {"channels": self.full, "min_width_mult": smallest, "divisor": 1, "slim_last": True}
        model = self.problem.create(self.seed, **options)
        for channels in model.channels.values():  # each count is free: an expansion need not be six times its input
            channels.factor, channels.min_channels = 1, 1
        model.to(device=self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        return model
