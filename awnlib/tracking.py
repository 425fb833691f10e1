"""BN statistics of one layer during training, at every width of a step: the data of figure 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from awnlib.models._base import Norm, SlimmableModel


class StatisticsTracker:
    """Records batch and stored statistics of a norm layer in chosen iterations.

    Parameters
    ----------
    model
        The model in training.
    layer
        Name of the norm layer; None for the last one.
    every
        Record each iteration whose number is a multiple of this, from 0.

    Attributes
    ----------
    rows
        One dictionary per recorded (iteration, width, channel), for the channels that every width keeps.

    Raises
    ------
    ValueError
        If the model has no such norm layer; the message lists those it has.
    """

    def __init__(self, model: SlimmableModel, layer: str | None, every: int) -> None:
        norms = dict(model.norms())
        self.layer = layer or list(norms)[-1]
        if self.layer not in norms:
            raise ValueError(f"track.layer: no norm layer '{self.layer}' (the model has: {', '.join(norms)})")
        self.norm: Norm = norms[self.layer]
        self.every = every
        self.rows: list[dict[str, Any]] = []
        self._step: int | None = None
        self.norm.register_forward_hook(self._record)

    def start(self, step: int) -> bool:
        """Say which iteration comes next; return whether it is one of the chosen, whose passes are recorded."""
        self._step = step if step % self.every == 0 else None
        return self._step is not None

    @torch.no_grad()
    def _record(self, _: nn.Module, inputs: tuple[Tensor], __: Tensor) -> None:
        if self._step is None or not self.norm.training:
            return
        channels = self.norm.channels
        kept = channels.count(channels.min_width_mult)
        var, mean = torch.var_mean(inputs[0][:, :kept].float(), dim=(0, 2, 3))
        stored = self.norm.statistics
        assert stored.running_mean is not None
        assert stored.running_var is not None
        columns = (mean, var, stored.running_mean, stored.running_var)
        for channel, values in enumerate(zip(*(column[:kept].tolist() for column in columns), strict=True)):
            names = ("batch_mean", "batch_var", "running_mean", "running_var")
            row = {"layer": self.layer, "step": self._step, "width_mult": channels.width_mult, "channel": channel}
            self.rows.append({**row, **dict(zip(names, values, strict=True))})
