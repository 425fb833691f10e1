"""Greedy slimming: of a network of all widths those channels are taken away whose loss it notices least.

It starts at the largest network. In each step every dimension is tried with its next smaller count, and the network
with the fewest errors is kept, whatever MACs it saves (AutoSlim, section 3). What it went through are rows, which are
all that it has to know to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from awnlib.channels import round_channels
from awnlib.data import DataSet, chosen_training_batches
from awnlib.layers import SlimmableNetwork

Counts = Mapping[str, int]
"""Channels by the name of their dimension."""
Row = Mapping[str, Any]
"""One network that was tried: `step`, `channels` (the dimension), `count`, `macs`, `error_pct`, `accepted`."""


@dataclass(frozen=True)
class SlimmedNetwork:
    """A network that slimming went on with: after which step, its counts, MACs of one image, and errors in percent."""

    step: int
    counts: dict[str, int]
    macs: float
    error_pct: float


def slimming_start(full: Counts, macs: int, error_pct: float) -> list[dict[str, Any]]:
    """Return the rows of step 0, one for each dimension of the largest network."""
    return [_row(0, name, count, macs, error_pct, accepted=True) for name, count in full.items()]


def slimming_step(
    rows: Sequence[Row],
    options: Mapping[str, Sequence[int]],
    macs_of: Callable[[Counts], int],
    error_of: Callable[[Counts], float],
) -> list[dict[str, Any]]:
    """Return the rows of the next step: of networks with equally few errors the first by name is accepted.

    Parameters
    ----------
    rows
        Those of `slimming_start` and of all steps so far.
    options
        The counts that each dimension may have, falling.
    macs_of, error_of
        What a network of these counts costs and its errors in percent.

    Returns
    -------
    list of dict
        A row for each dimension that can be slimmed further; none at the smallest network.
    """
    counts = slimmed_counts(rows)
    smaller = {name: next((c for c in options[name] if c < count), None) for name, count in sorted(counts.items())}
    tried = {name: {**counts, name: count} for name, count in smaller.items() if count is not None}
    errors = {name: error_of(candidate) for name, candidate in tried.items()}
    best = min(errors, key=errors.__getitem__, default=None)  # the first of several, and they are sorted by name
    step = rows[-1]["step"] + 1
    return [
        _row(step, name, candidate[name], macs_of(candidate), errors[name], accepted=name == best)
        for name, candidate in tried.items()
    ]


def slimmed_networks(rows: Iterable[Row]) -> Iterator[SlimmedNetwork]:
    """Yield the networks that slimming went on with, the largest one first."""
    counts: dict[str, int] = {}
    accepted = (row for row in rows if row["accepted"])
    for step, of_step in groupby(accepted, key=lambda row: row["step"]):
        changed = list(of_step)
        counts = counts | {row["channels"]: int(row["count"]) for row in changed}
        yield SlimmedNetwork(step, counts, changed[-1]["macs"], changed[-1]["error_pct"])


def slimmed_counts(rows: Iterable[Row], budget: float | None = None) -> dict[str, int]:
    """Return the largest network of a slimming that fits a budget.

    Parameters
    ----------
    rows
        Of one slimming, from step 0.
    budget
        MACs of one image; None for the network that slimming has reached.

    Raises
    ------
    ValueError
        If the slimming did not go so far.
    """
    networks = list(slimmed_networks(rows))
    last = networks[-1]
    if budget is None:
        return last.counts
    fitting = (network.counts for network in networks if network.macs <= budget)
    found = next(fitting, None)
    if found is None:
        raise ValueError(f"slimming ended at {last.macs:,.0f} MACs, above the budget of {budget:,}")
    return found


def bin_counts(full: int, smallest: int, bins: int) -> list[int]:
    """Return the counts of a dimension in slimming, falling: i / bins of all channels, rounded, not below `smallest`.

    A dimension with fewer channels than bins has a bin for each.
    """
    counts = {round_channels(full * index / bins, 1) for index in range(1, bins + 1)}
    return sorted((count for count in counts if count >= smallest), reverse=True)


def equal_batches(
    data: DataSet, chosen: Tensor, most: int, device: torch.device, num_workers: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Return chosen training images with their labels in the fewest batches of at most `most`, equal in size."""
    size = -(-len(chosen) // -(-len(chosen) // most))
    return list(chosen_training_batches(data, chosen, size, device, num_workers))


@torch.no_grad()
def batch_error_pct(model: SlimmableNetwork, batches: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the share of images that the active width classifies wrongly, BN using the statistics of each batch.

    Running statistics would be of another network. The model is left in training mode.
    """
    model.train()
    wrong = sum((model(images).argmax(dim=1) != labels).sum() for images, labels in batches)
    return 100 * int(wrong) / sum(len(labels) for _, labels in batches)


def _row(step: int, name: str, count: int, macs: int, error_pct: float, *, accepted: bool) -> dict[str, Any]:
    about = {"step": step, "channels": name, "count": float(count), "macs": float(macs)}
    return about | {"error_pct": error_pct, "accepted": accepted}
