"""BN statistics of one layer during training, at every width: the data of figure 2."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from awnlib.evaluation.drift import layer_moments
from awnlib.layers import SlimmableNetwork
from awnlib.layers.batchnorm import active_statistics
from awnlib.layers.segments import indices

COLUMNS = ("batch_mean", "batch_var", "running_mean", "running_var")


class StatisticsTracker:
    """Measures the statistics of a norm layer's input in chosen iterations, and what the layer has stored.

    Each width is measured by a forward pass of its own, on a copy of the network and without gradients, so that the
    numbers do not depend on how the network is trained, and training does not depend on them.

    Parameters
    ----------
    model
        The model in training.
    layer
        Name of the norm layer; None for the last one, in a network without norms for nothing.
    steps
        Iterations to measure in.
    width_mults
        Widths to measure.

    Attributes
    ----------
    values
        What was measured, `[steps, widths, channels, 4]` in float64 on the model's device, for the channels that every
        width keeps; 0 where nothing was measured yet. A checkpoint keeps it among its tensors: as text it would be
        larger than what a safetensors header may hold.

    Raises
    ------
    ValueError
        If the model has no such norm layer; the message lists those it has.
    """

    def __init__(self, model: SlimmableNetwork, layer: str | None, steps: range, width_mults: Sequence[float]) -> None:
        norms = dict(model.norms())
        if layer is not None and layer not in norms:
            raise ValueError(f"track.layer: no norm layer '{layer}' (the model has: {', '.join(norms) or 'none'})")
        self.model = model
        self.layer = layer or next(reversed(norms), "")
        self.norm = norms.get(self.layer)
        self.steps = steps
        self.width_mults = list(width_mults)
        self.kept = indices(self.norm.channels, min(width_mults)).tolist() if self.norm else []
        shape = (len(steps), len(width_mults), len(self.kept), len(COLUMNS))
        device = next(model.parameters()).device
        self.values = torch.zeros(shape, dtype=torch.float64, device=device)

    @torch.no_grad()
    def observe(self, step: int, images: Tensor) -> None:
        """Measure on the batch of an iteration, before its step is taken, if it is one of the chosen."""
        if self.norm is None or step not in self.steps:
            return
        width_before = self.norm.channels.width_mult
        for values, width_mult in zip(self.values[self.steps.index(step)], self.width_mults, strict=True):
            moments = layer_moments(self.model, [images], width_mult)[self.layer]
            where = indices(self.norm.channels, width_mult).tolist()
            kept = [where.index(channel) for channel in self.kept]
            mean, square = (moment[kept] for moment in moments)
            self.model.set_width_mult(width_mult)
            stored = (moment[kept] for moment in active_statistics(self.norm.statistics, self.norm.channels))
            values.copy_(torch.stack([mean, square - mean**2, *stored], dim=1))
        self.model.set_width_mult(width_before)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per (iteration, width, channel).

        Its keys are `layer`, `step`, `width_mult`, `channel`, `batch_mean`, `batch_var` (over the batch),
        `running_mean`, `running_var` (stored).
        """
        keys = itertools.product(self.steps, self.width_mults, self.kept)
        return [
            {"layer": self.layer, "step": step, "width_mult": width_mult, "channel": channel}
            | dict(zip(COLUMNS, values, strict=True))
            for (step, width_mult, channel), values in zip(keys, self.values.flatten(0, 2).tolist(), strict=True)
        ]
