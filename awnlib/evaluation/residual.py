"""Residual errors: how far a feature that sums up some of its inputs is from the one that sums up all of them.

US-Nets, section 3.1, builds on their falling when a network gets wider (inequality 3). In a triangular network they are
zero, whatever the width: a feature that a width keeps has all its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import check_apart, check_width_mult
from awnlib.layers import SlimmableConv2d, SlimmableLinear, SlimmableNetwork
from awnlib.layers.segments import prefix_of
from awnlib.layers.strided import convolve

Aggregating = SlimmableConv2d | SlimmableLinear


@torch.no_grad()
def residual_errors(
    model: SlimmableNetwork, batches: Sequence[Tensor], width_mults: Sequence[float]
) -> list[dict[str, Any]]:
    r"""Measure the residual errors of every layer that reads fewer inputs when the network is narrower.

    A feature sums up its inputs, $y^n = \sum_{i \le n} w_i x_i$; with the first $k$ of them, those of a width, it is
    $y^k$. For every feature and all $k \ge k_0$, the inputs of the smallest width, the paper expects

    $$ 0 \le \delta_{k+1} \le \delta_k \le \delta_{k_0}, \qquad \delta_k = |y^n - y^k| $$

    Nothing forces the terms of a sum to have one sign, so it need not hold: how often it does is measured besides the
    mean. As in the paper the inputs $x_i$ are the same for all $k$, those of the network at full width. Features are
    the outputs that the smallest of the widths keeps too, at every position and for every image.

    Parameters
    ----------
    model
        Left as it is: a view of it is run, normalising by the batches' own statistics. Depthwise convolutions and
        layers whose inputs are the same at every width have nothing to measure.
    batches
        Normalised images, `[N, C, H, W]` each.
    width_mults
        Widths to measure.

    Returns
    -------
    list of dict
        A row for each layer and width, widths rising: `layer`, `width_mult`, `num_inputs` (channels), `residual` (mean
        of $\delta_k$), `relative` (over the mean of $|y^n|$; None if that is zero), `bounded_pct` and `shrinking_pct`
        (features whose $\delta_k$ is at most $\delta_{k_0}$, and at most that of the next smaller width; None for the
        smallest).

    Raises
    ------
    ValueError
        If there is no width, a width is outside the model's range, two differ by rounding only, there is no image, or a
        layer has `Segments`, as those of converted networks do: a width's inputs are not the first ones there.

    References
    ----------
    US-Nets, section 3.1, equations 2 and 3.
    """
    rising = sorted(set(width_mults))
    if not rising or not sum(len(images) for images in batches):
        raise ValueError("residual errors need at least one width and one image")
    check_apart(rising)
    for width_mult in rising:
        check_width_mult(width_mult, model.min_width_mult)
    network = model.view().train()
    network.set_width_mult(1.0)
    found = {name: _Residuals(layer, rising) for name, layer in _aggregating(network)}
    for residuals in found.values():
        residuals.layer.register_forward_pre_hook(partial(_see, residuals))
    for images in batches:
        network(images)
    return [{"layer": name, **row} for name, residuals in found.items() for row in residuals.rows()]


def _aggregating(model: nn.Module) -> Iterator[tuple[str, Aggregating]]:
    """Yield the layers that sum up inputs whose number follows the width."""
    for name, layer in model.named_modules():
        if isinstance(layer, Aggregating) and not layer.channels_in.fixed and not getattr(layer, "depthwise", False):
            yield name, layer


def _see(residuals: _Residuals, _: nn.Module, inputs: tuple[Tensor]) -> None:
    residuals.add(inputs[0])


class _Residuals:
    """The residual errors of one layer, summed up over batches; a row of `sums` for each width."""

    def __init__(self, layer: Aggregating, rising: Sequence[float]) -> None:
        self.layer, self.rising = layer, rising
        inputs, features = prefix_of(layer.channels_in), prefix_of(layer.channels_out)
        self.counts = [inputs.count(width_mult) for width_mult in rising]
        self.num_rows = features.count(rising[0])
        self.sums = torch.zeros(len(rising), 3, dtype=torch.float64)  # residual, bounded, shrinking
        self.magnitude, self.num_features = 0.0, 0

    def add(self, inputs: Tensor) -> None:
        """Measure one batch, from sums that grow in the same order: complete ones are then equal to the last bit."""
        *_, complete = self._growing(inputs)
        self.magnitude += float(complete.abs().sum(dtype=torch.float64))
        self.num_features += complete.numel()
        first = before = None
        partial_sums = self._growing(inputs)
        for sums, part, count in zip(self.sums, partial_sums, self.counts, strict=False):
            residual = (complete - self._scale(count) * part).abs()
            first = residual if first is None else first
            before = residual if before is None else before
            found = (residual, residual <= first, residual <= before)
            sums += torch.stack([values.sum(dtype=torch.float64) for values in found]).cpu()
            before = residual

    def _growing(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield the sums over the first inputs of each width, and over all inputs."""
        total: Tensor | None = None
        for start, stop in pairwise([0, *self.counts, self.layer.channels_in.full]):
            if total is None:
                total = self._sum(inputs, start, stop)
            elif stop > start:
                total = total + self._sum(inputs, start, stop)
            yield total

    def _sum(self, inputs: Tensor, start: int, stop: int) -> Tensor:
        """Return the layer's sum over some of its input channels, without bias, of the features that are measured."""
        layer, weight = self.layer, self.layer.active_weight()[: self.num_rows]
        if isinstance(layer, SlimmableConv2d):
            return convolve(layer, inputs[:, start:stop], weight[:, start:stop], None)
        some = slice(start * layer.features_per_channel, stop * layer.features_per_channel)
        return F.linear(inputs[:, some], weight[:, some])

    def _scale(self, count: int) -> float:
        """Return the factor of a sum over so many channels: of a layer that averages, to the number of all."""
        averages = isinstance(self.layer, SlimmableConv2d) and self.layer.average_inputs
        return self.layer.channels_in.full / count if averages else 1.0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what was measured at each width."""
        means = (self.sums / self.num_features).tolist()
        magnitude = self.magnitude / self.num_features
        for index, (width_mult, (residual, bounded, shrinking)) in enumerate(zip(self.rising, means, strict=True)):
            yield {
                "width_mult": width_mult,
                "num_inputs": self.counts[index],
                "residual": residual,
                "relative": residual / magnitude if magnitude else None,
                "bounded_pct": 100 * bounded if index else None,
                "shrinking_pct": 100 * shrinking if index else None,
            }
