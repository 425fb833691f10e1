"""BN statistics of one layer during training, at every width: the data of figure 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from awnlib.drift import layer_moments
from awnlib.layers.batchnorm import running_statistics
from awnlib.models import SlimmableModel


class StatisticsTracker:
    """Measures the statistics of a norm layer's input in chosen iterations, and what the layer has stored.

    Each width is measured by a forward pass of its own, on a copy of the network and without gradients, so that the
    numbers do not depend on how the network is trained, and training does not depend on them.

    Parameters
    ----------
    model
        The model in training.
    layer
        Name of the norm layer; None for the last one.
    every
        Measure in each iteration whose number is a multiple of this, from 0.
    width_mults
        Widths to measure.

    Attributes
    ----------
    rows
        One dictionary per (iteration, width, channel), for the channels that every width keeps: `layer`, `step`,
        `width_mult`, `channel`, `batch_mean`, `batch_var` (over the batch), `running_mean`, `running_var` (stored).

    Raises
    ------
    ValueError
        If the model has no such norm layer; the message lists those it has.
    """

    def __init__(self, model: SlimmableModel, layer: str | None, every: int, width_mults: Sequence[float]) -> None:
        norms = dict(model.norms())
        self.layer = layer or list(norms)[-1]
        if self.layer not in norms:
            raise ValueError(f"track.layer: no norm layer '{self.layer}' (the model has: {', '.join(norms)})")
        self.model = model
        self.norm = norms[self.layer]
        self.every = every
        self.width_mults = list(width_mults)
        self.rows: list[dict[str, Any]] = []

    @torch.no_grad()
    def observe(self, step: int, images: Tensor) -> None:
        """Measure on the batch of an iteration, before its step is taken, if it is one of the chosen."""
        if step % self.every:
            return
        width_before = self.norm.channels.width_mult
        kept = self.norm.channels.count(min(self.width_mults))
        for width_mult in self.width_mults:
            mean, square = (moment[:kept] for moment in layer_moments(self.model, [images], width_mult)[self.layer])
            self.model.set_width_mult(width_mult)
            running_mean, running_var = running_statistics(self.norm.statistics, kept)
            columns = {
                "batch_mean": mean,
                "batch_var": square - mean**2,
                "running_mean": running_mean,
                "running_var": running_var,
            }
            lists = [column.tolist() for column in columns.values()]
            for channel, values in enumerate(zip(*lists, strict=True)):
                row = {"layer": self.layer, "step": step, "width_mult": width_mult, "channel": channel}
                self.rows.append({**row, **dict(zip(columns, values, strict=True))})
        self.model.set_width_mult(width_before)
