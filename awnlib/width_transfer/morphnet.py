r"""MorphNet: shrink a network by a regulariser that knows what each channel costs, then widen what is left.

With $K$ the MACs of one pair of an input and an output channel of a layer (here MACs, not twice that), $r_c$ the
magnitude of a channel's BN scale, $R$ the sum of a dimension's $r_c$ and $A$ the number of its channels that are alive
($r_c$ above a threshold; no gradient), the loss is the cross-entropy plus

$$ \frac{\lambda}{F} \sum_{layers} K (A_{in} R_{out} + A_{out} R_{in}) $$

where a depthwise layer counts $K (R_{in} + R_{out})$ and $F$ are the MACs of the un-optimised network: "we normalize
the FLOPs for each network and use λ = 1" (Width Transfer, appendix A). A dimension that several norm layers hold
(a residual sum, an expansion with its depthwise convolution) has for each channel the largest of their scales. The
image and the classes are always alive and have no $R$.

References
----------
Gordon et al., MorphNet, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.models import SlimmableModel
from awnlib.width_transfer.costs import LayerCost
from awnlib.width_transfer.ledger import ALL_GRADIENTS
from awnlib.width_transfer.optimizer import SupernetOptimizer
from awnlib.width_transfer.options import MorphNetSettings


class MorphNet(SupernetOptimizer):
    """Train with the regulariser, keep the channels that are alive, widen all dimensions by one factor.

    Not fewer than `min_width_mult` times the un-optimised channels are kept, so that no layer dies.
    """

    settings: MorphNetSettings

    def check_budget(self) -> None:
        """Raise a ValueError if the budget is too small; it may be larger than the network, which is widened."""
        self.problem.check_budget(self.smallest)

    def backward(self, images: Tensor, labels: Tensor, step: int, progress: float) -> Tensor:
        """Add the gradients of the cross-entropy and the regulariser."""
        scales = tied_scales(self.model)
        regulariser = regularizer(self.problem.layers, scales, self.settings.threshold)
        strength = self.settings.strength / self.problem.macs(self.problem.network.counts)
        loss = F.cross_entropy(self.model(images), labels) + strength * regulariser
        loss.backward()  # type: ignore[no-untyped-call]
        self.ledger.spend("training step", self.problem.macs(self.full), len(images), backward=ALL_GRADIENTS)
        return loss.detach()

    def end_epoch(self, epoch: int) -> None:
        """Record the channels that are alive."""
        alive = self._alive()
        self.record(epoch, alive, self.problem.macs(alive))

    def multipliers(self) -> dict[str, float]:
        """Return the channels that are alive, relative to the un-optimised ones."""
        return self.problem.multipliers(self._alive())

    def _alive(self) -> dict[str, int]:
        scales = tied_scales(self.model)
        return {
            name: max(int((scales[name] > self.settings.threshold).sum()), smallest)
            for name, smallest in self.smallest.items()
        }


def tied_scales(model: SlimmableModel) -> dict[str, Tensor]:
    """Return for each dimension the magnitude of each channel's BN scale, the largest of all its norms, `[full]`."""
    scales: dict[str, Tensor] = {}
    for _, norm in model.norms():
        assert isinstance(norm, nn.BatchNorm2d)
        name, scale = norm.channels.name, norm.weight.abs()
        scales[name] = torch.maximum(scales[name], scale) if name in scales else scale
    return scales


def regularizer(layers: Sequence[LayerCost], scales: Mapping[str, Tensor], threshold: float) -> Tensor:
    """Return the regulariser of the network's MACs, in MACs; its gradient reaches the scales.

    With all scales 1 and a norm on both sides of every layer it is twice the MACs.

    Parameters
    ----------
    layers
        What the MACs consist of (`awnlib.width_transfer.costs`).
    scales
        Magnitudes by dimension, `[full]` each; a dimension without any is not regularised.
    threshold
        Channels above it are alive.
    """
    magnitude = {name: scale.sum() for name, scale in scales.items()}
    alive = {name: (scale > threshold).sum() for name, scale in scales.items()}
    zero = next(iter(magnitude.values())).new_zeros(())

    def a(channels: Channels) -> Tensor | int:
        return alive.get(channels.name, channels.full)

    def r(channels: Channels) -> Tensor:
        return magnitude.get(channels.name, zero)

    total = zero
    for layer in layers:
        if layer.depthwise:
            total = total + layer.macs_per_connection * (r(layer.inputs) + r(layer.outputs))
        else:
            pairs = a(layer.inputs) * r(layer.outputs) + a(layer.outputs) * r(layer.inputs)
            total = total + layer.macs_per_connection * pairs
    return total
