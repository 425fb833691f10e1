"""The widths of a trained network, layer by layer: found by slimming, and used through one width multiplier again.

    slimming = NetworkSlimming(model, batches, bins=12)
    chosen = networks_by_width(model, slim_network(slimming))
    slimmed = along_path(model, width_path(chosen))
    recalibrate_bn(slimmed, inputs, [0.25, 0.5, 1.0])

At each width the slimmed network costs no more than the uniform one, with those channels that slimming left. It is one
network of all widths as before: its weights are the same, and a width has the first channels of every larger one.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from awnlib.channels import ROUNDING, Channels, Steps
from awnlib.evaluation.slimming import (
    Counts,
    Row,
    SlimmedNetwork,
    batch_error_pct,
    slimmed_networks,
    slimming_start,
    slimming_step,
)
from awnlib.jobs.checkpoint import load_tensors, save_tensors
from awnlib.jobs.progress import Progress
from awnlib.jobs.resumable import Parts, run_resumable
from awnlib.layers import SlimmableNetwork
from awnlib.model_cost import cost, output_positions
from awnlib.models import SlimmableModel, create_model


class NetworkSlimming:
    """Greedy slimming of a trained network, step by step (`awnlib.evaluation.slimming`).

    Parameters
    ----------
    model
        A network that was trained at widths of its layers: its width changes, its weights do not. Norms use the
        statistics of each batch.
    batches
        Normalised images `[N, C, H, W]` with labels `[N]`, of training but not trained with: they decide.
    bins
        Parts that the full width is cut into: a step narrows one group of layers by one of them, or by as many as it
        takes for a channel to go. The smallest width of the network is the last.

    Raises
    ------
    ValueError
        If there is no image, or there are fewer than two bins.
    """

    def __init__(self, model: SlimmableNetwork, batches: Sequence[tuple[Tensor, Tensor]], bins: int) -> None:
        if not sum(len(labels) for _, labels in batches):
            raise ValueError("slimming needs at least one image")
        self.model, self.batches = model, batches
        self.positions = output_positions(model)
        self.widths = {name: _widths_by_count(channels, bins) for name, channels in model.channels.items()}
        self.options = {name: sorted(widths, reverse=True) for name, widths in self.widths.items()}

    def step(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the rows of the next step, of the largest network if there are none; none at the smallest network."""
        if not rows:
            full = {name: options[0] for name, options in self.options.items()}
            return slimming_start(full, self.macs(full), self.error_pct(full))
        return slimming_step(rows, self.options, self.macs, self.error_pct)

    @property
    def num_steps(self) -> int:
        """How many steps lead from the largest to the smallest network."""
        return sum(len(options) - 1 for options in self.options.values())

    def vector(self, counts: Counts) -> dict[str, float]:
        """Return the width vector of some counts."""
        return {name: self.widths[name][count] for name, count in counts.items()}

    def macs(self, counts: Counts) -> int:
        """Return the MACs of one image."""
        self.model.set_widths(self.vector(counts))
        return cost(self.model, self.positions).macs

    def error_pct(self, counts: Counts) -> float:
        """Return the share of the images that a network classifies wrongly."""
        self.model.set_widths(self.vector(counts))
        return batch_error_pct(self.model, self.batches)


def slim_network(
    slimming: NetworkSlimming,
    *,
    checkpoint: Path | None = None,
    identity: Sequence[str] = (),
    title: str = "slimming",
    checkpoint_every_s: float = 30.0,
) -> list[dict[str, Any]]:
    """Slim a network to its smallest one, and return the rows of all steps.

    Parameters
    ----------
    slimming
        At which to begin.
    checkpoint
        A file to resume from, if it is there and of the same identity, and to save to after a step, from time to time.
    identity
        All that the slimming depends on.
    title
        What messages call it.
    checkpoint_every_s
        Seconds between two checkpoints.

    Raises
    ------
    CheckpointError
        If the file to resume from is damaged.
    SystemExit
        With status 143, after saving to `checkpoint`, if the process received SIGTERM.
    """
    rows = [] if checkpoint is None else _rows_before(checkpoint, identity)

    def save() -> None:
        assert checkpoint is not None
        save_tensors(checkpoint, {}, {"identity": list(identity), "rows": rows})

    run_resumable(_steps(slimming, rows, title), None if checkpoint is None else save, checkpoint_every_s, title)
    return rows


def networks_by_width(model: SlimmableNetwork, rows: Iterable[Row]) -> list[tuple[float, SlimmedNetwork]]:
    """Return from which width on which network of a slimming is used, rising from the smallest width.

    A width has the largest network of the slimming that costs no more than the network of this width does without.

    Parameters
    ----------
    model
        The network before slimming; its width changes.
    rows
        Of a slimming down to its smallest network.
    """
    positions, networks = output_positions(model), list(slimmed_networks(rows))
    found: list[tuple[float, SlimmedNetwork]] = []
    for start, width_mult in zip(model.changes, model.distinct_width_mults(), strict=True):
        model.set_width_mult(width_mult)
        budget = cost(model, positions).macs
        chosen = next(network for network in networks if network.macs <= budget)
        if not found or chosen != found[-1][1]:
            found.append((start, chosen))
    return found


def width_path(chosen: Sequence[tuple[float, SlimmedNetwork]]) -> dict[str, Steps]:
    """Return for each dimension from which width on it has how many channels, from `networks_by_width`."""
    path = {name: [(0.0, count)] for name, count in chosen[0][1].counts.items()}
    for start, network in chosen:
        for name, count in network.counts.items():
            if count > path[name][-1][1]:
                path[name].append((start, count))
    return {name: tuple(steps) for name, steps in path.items()}


def along_path(model: SlimmableModel, path: Mapping[str, Steps]) -> SlimmableModel:
    """Return a network with the same weights whose dimensions follow a path (`awnlib.channels.Channels`).

    Its BN statistics start anew where there are several sets, since those of one width are no longer its own.

    Raises
    ------
    ValueError
        If scale and shift are private to each width, or the path names other dimensions than the network's.
    """
    model = copy.deepcopy(model)
    if model.switch_width_mults:
        model.set_switches([model.min_width_mult, 1.0])
    paths = {name: [tuple(step) for step in steps] for name, steps in path.items()}
    slimmed = create_model(**model.spec.model_copy(update={"paths": paths}).model_dump())
    weight = next(model.parameters())
    slimmed.to(device=weight.device, dtype=weight.dtype).load_state_dict(model.state_dict())
    return slimmed.train(model.training)


def _steps(slimming: NetworkSlimming, rows: list[dict[str, Any]], title: str) -> Parts:
    """Add the rows of all remaining steps, as parts of `run_resumable`."""
    progress = Progress(slimming.num_steps, initial=rows[-1]["step"] if rows else 0, title=title)
    while found := slimming.step(rows):
        rows += found
        progress.update(rows[-1]["step"], error_pct=min(row["error_pct"] for row in found))
        yield rows[-1]["step"], True
    progress.close()


def _rows_before(checkpoint: Path, identity: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a resume point of the same identity; none without, and if there is another that is said."""
    if not checkpoint.exists():
        return []
    _, point = load_tensors(checkpoint)
    if point.get("identity") == list(identity):
        rows: list[dict[str, Any]] = point["rows"]
        return rows
    print(f"{checkpoint} is of another network, images or settings: starting anew", file=sys.stderr, flush=True)
    return []


def _widths_by_count(channels: Channels, bins: int) -> dict[int, float]:
    """Return the counts of a dimension in slimming with a width of each, the largest one."""
    if bins < 2:
        raise ValueError(f"slimming needs 2 bins or more, found {bins}")
    low = channels.min_width_mult
    rising = [low, *(index / bins for index in range(1, bins + 1) if index / bins > low + ROUNDING)]
    return {channels.count(width_mult): width_mult for width_mult in rising}
