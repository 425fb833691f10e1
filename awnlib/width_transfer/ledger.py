"""What a search for widths costs, in MACs: as it was spent, and on paper before it is run.

Every kind of work is an entry. A forward pass costs the MACs of the network at its width, for each image. A backward
pass costs the same for the gradients of the inputs, and again for those of the weights. So a step of training costs
three times the forward pass. Norms, losses and optimisers are not counted.

    ledger = Ledger()
    ledger.spend("supernet step", macs, num_images=128, backward=ALL_GRADIENTS)
    ledger.spend("evaluation", macs, num_images=1000)
    ledger.total

References
----------
Width Transfer, section 4: the overhead of a width optimisation is the FLOPs needed to carry it out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from awnlib.channels import Channels
from awnlib.files import atomic_path
from awnlib.seeding import rng
from awnlib.width_transfer.costs import LayerCost, total_macs

ALL_GRADIENTS = 2
"""What a backward pass costs relative to the forward pass: gradients of the inputs and of the weights."""
INPUT_GRADIENTS = 1
"""The same if no weight needs a gradient."""
CandidateCounts = Callable[[Channels], Sequence[int]]
"""The counts that a search may give a dimension, from the smallest to the largest."""


class Ledger:
    """Work done, by kind.

    Parameters
    ----------
    entries
        MACs by kind, to begin with.
    """

    def __init__(self, entries: Mapping[str, float] | None = None) -> None:
        self._entries = dict(entries or {})

    def spend(self, what: str, macs_per_image: float, num_images: float, *, backward: int = 0) -> None:
        """Enter passes of images through a network.

        Parameters
        ----------
        what
            The kind of work.
        macs_per_image, num_images
            Of the forward pass.
        backward
            `ALL_GRADIENTS`, `INPUT_GRADIENTS`, or 0 without a backward pass.

        Raises
        ------
        ValueError
            If a number is negative.
        """
        macs = macs_per_image * num_images
        if min(macs_per_image, num_images) < 0:
            raise ValueError(f"{what}: MACs and images must be 0 or more, found {macs_per_image:g} and {num_images:g}")
        self._add(f"{what}, forward", macs)
        if backward:
            self._add(f"{what}, backward", backward * macs)

    @property
    def entries(self) -> dict[str, float]:
        """MACs by kind of work, in the order of their first entries."""
        return dict(self._entries)

    @property
    def total(self) -> float:
        """All MACs."""
        return sum(self._entries.values())

    def _add(self, entry: str, macs: float) -> None:
        self._entries[entry] = self._entries.get(entry, 0) + macs

    def __add__(self, other: Ledger) -> Ledger:
        """Return a ledger with the entries of both."""
        both = Ledger(self._entries)
        for entry, macs in other._entries.items():
            both._add(entry, macs)
        return both

    def __repr__(self) -> str:
        return f"Ledger({', '.join(f'{name}: {macs:.4g}' for name, macs in self._entries.items())})"

    def save(self, path: str | Path) -> None:
        """Write the entries and their sum as JSON, atomically."""
        with atomic_path(path) as temporary:
            temporary.write_text(
                json.dumps({"entries": self._entries, "total": self.total}, indent=2) + "\n", encoding="utf-8"
            )


def overhead_factor(one: Ledger, other: Ledger) -> float:
    """Return how many times as much the first search costs.

    Raises
    ------
    ValueError
        If the second one costs nothing.
    """
    if other.total <= 0:
        raise ValueError("a search that costs nothing has no overhead factor")
    return one.total / other.total


def expected_macs(layers: Sequence[LayerCost], candidates: CandidateCounts) -> float:
    """Return the mean MACs of a network whose dimensions each have one of their candidate counts, at random.

    Exact: dimensions are drawn independently and uniformly, so that the mean of a product of two is the product of
    their means, and a dimension that a dense layer both reads and writes has the mean of its square.
    """
    macs = 0.0
    for layer in layers:
        if layer.depthwise:
            pairs = _mean(candidates(layer.outputs))
        elif layer.inputs is layer.outputs:
            pairs = _mean(count**2 for count in candidates(layer.inputs))
        else:
            pairs = _mean(candidates(layer.inputs)) * _mean(candidates(layer.outputs))
        macs += layer.macs_per_connection * pairs
    return macs


def even_counts(low: float, num_counts: int) -> CandidateCounts:
    """Return candidates at evenly spaced multipliers from `low` to 1; a fixed dimension has one only.

    Raises
    ------
    ValueError
        If `low` is outside (0, 1] or there is less than one count.
    """
    if not 0 < low <= 1 or num_counts < 1:
        raise ValueError(f"low must be in (0, 1] and num_counts 1 or more, found {low:g} and {num_counts}")
    multipliers = torch.linspace(low, 1, num_counts, dtype=torch.float64).tolist() if num_counts > 1 else [1.0]

    def counts(channels: Channels) -> list[int]:
        return sorted({max(1, channels.count(multiplier)) for multiplier in multipliers})

    return counts


def planned_sandwich(
    layers: Sequence[LayerCost], candidates: CandidateCounts, num_images: float, *, num_random: int = 2
) -> Ledger:
    """Return what training a supernet costs: each step at the largest width, the smallest and some random ones.

    Parameters
    ----------
    layers
        Those of the supernet, enlarged already (1.5 times in Width Transfer, appendix A).
    candidates
        The counts that each dimension may have.
    num_images
        Images in all steps: training images times epochs.
    num_random
        Random widths in each step, each dimension drawn for itself; their mean MACs are exact.
    """
    largest, smallest = _extreme_macs(layers, candidates)
    ledger = Ledger()
    ledger.spend("supernet step, largest width", largest, num_images, backward=ALL_GRADIENTS)
    ledger.spend("supernet step, smallest width", smallest, num_images, backward=ALL_GRADIENTS)
    mean = expected_macs(layers, candidates)
    ledger.spend("supernet step, random widths", num_random * mean, num_images, backward=ALL_GRADIENTS)
    return ledger


def planned_dmcp(
    layers: Sequence[LayerCost], candidates: CandidateCounts, num_images: float, *, architecture_share: float = 0.5
) -> Ledger:
    """Return what DMCP costs: the supernet's steps, and architecture steps at the largest width.

    The widths that are drawn from the chain are counted as uniform ones: where the chain goes is not known before.

    Parameters
    ----------
    layers, candidates, num_images
        As in `planned_sandwich`.
    architecture_share
        The share of the steps that an architecture step follows: the second half in DMCP, algorithm 1.
    """
    largest, _ = _extreme_macs(layers, candidates)
    ledger = planned_sandwich(layers, candidates, num_images)
    ledger.spend("architecture step", largest, architecture_share * num_images, backward=INPUT_GRADIENTS)
    return ledger


def planned_autoslim(
    layers: Sequence[LayerCost],
    candidates: CandidateCounts,
    num_images: float,
    *,
    target_macs: float,
    evaluation_images: int,
    seed: int = 0,
) -> Ledger:
    """Return what AutoSlim costs: the supernet's steps, and greedy slimming down to the target.

    Slimming evaluates the largest network, then in each step, for every dimension above its smallest count, the network
    with the next smaller candidate there, and keeps the best. Which is best is not known before: it is drawn at random.

    Parameters
    ----------
    layers, candidates, num_images
        As in `planned_sandwich`.
    target_macs
        Where slimming ends.
    evaluation_images
        Images that pass every evaluated network.
    seed
        Of the random path.

    Raises
    ------
    ValueError
        If the network costs more than the target at its smallest widths.
    """
    _, smallest = _extreme_macs(layers, candidates)
    if smallest > target_macs:
        raise ValueError(f"target_macs must be {smallest:,} or more, the smallest network's, found {target_macs:,.0f}")
    ledger = planned_sandwich(layers, candidates, num_images)
    evaluated = _greedy_macs(layers, candidates, target_macs, rng(seed, "planned_autoslim"))
    ledger.spend("evaluation", evaluated, evaluation_images)
    return ledger


def planned_morphnet(layers: Sequence[LayerCost], num_images: float) -> Ledger:
    """Return what MorphNet costs: every step trains the whole network once; the regulariser costs next to nothing.

    The network is as large as in the beginning in all steps: channels are removed after training only.
    """
    ledger = Ledger()
    macs = total_macs(layers, lambda channels: channels.full)
    ledger.spend("training step", macs, num_images, backward=ALL_GRADIENTS)
    return ledger


def _extreme_macs(layers: Sequence[LayerCost], candidates: CandidateCounts) -> tuple[int, int]:
    """Return the MACs of the largest and of the smallest network."""
    largest = total_macs(layers, lambda channels: candidates(channels)[-1])
    return largest, total_macs(layers, lambda channels: candidates(channels)[0])


def _greedy_macs(
    layers: Sequence[LayerCost], candidates: CandidateCounts, target_macs: float, generator: torch.Generator
) -> int:
    """Return the sum of the MACs of all networks that slimming to the target evaluates on a random path."""
    options = {channels: list(candidates(channels)) for layer in layers for channels in (layer.inputs, layer.outputs)}

    def macs_with(narrowed: Channels | None = None) -> int:
        return total_macs(layers, lambda channels: options[channels][-2 if channels is narrowed else -1])

    evaluated = macs_with()
    while macs_with() > target_macs:
        above_smallest = [channels for channels, counts in options.items() if len(counts) > 1]
        evaluated += sum(macs_with(channels) for channels in above_smallest)
        options[above_smallest[int(torch.randint(len(above_smallest), (1,), generator=generator))]].pop()
    return evaluated


def _mean(values: Iterable[int]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
