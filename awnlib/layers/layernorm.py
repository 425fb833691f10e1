"""Layer normalisation of selectable width: mean and variance over the active channels (Slimmable ConvNeXt)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.layers.segments import Axis, take


class SlimmableLayerNorm(nn.LayerNorm):
    r"""`torch.nn.LayerNorm` over the active channels of one axis.

    $$ y_s = \gamma_s \frac{x_s - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_s $$

    with $\mu$ and $\sigma^2$ over the active channels of a position. It keeps no statistics, so it needs none for each
    width; but what it makes of a channel depends on the width: it is no layer of any-width networks.

    Parameters
    ----------
    channels
        The axis that is normalised.
    channels_first
        Whether that is the second dimension of the input, as in a feature map, rather than the last one.
    eps, elementwise_affine, bias
        As in `torch.nn.LayerNorm`.

    Shapes
    ------
    input and output `[N, ..., active]`, with `channels_first` `[N, active, H, W]`

    References
    ----------
    Slimmable ConvNeXt (arXiv 2605.22677).
    """

    def __init__(
        self,
        channels: Axis,
        *,
        channels_first: bool = False,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(channels.full, eps=eps, elementwise_affine=elementwise_affine, bias=bias)
        self.channels = channels
        self.channels_first = channels_first

    def active_affine(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the scale and shift in use, `[active]` each, if there are any."""
        weight, bias = (None if vector is None else take(vector, self.channels) for vector in (self.weight, self.bias))
        return weight, bias

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over the active channels."""
        if not self.channels_first:
            return F.layer_norm(input, (self.channels.active,), *self.active_affine(), self.eps)
        last = torch.movedim(input, 1, -1)
        return torch.movedim(F.layer_norm(last, (self.channels.active,), *self.active_affine(), self.eps), -1, 1)

    def extra_repr(self) -> str:
        """Say how many channels are active, and of which norm."""
        return f"active {self.channels.active} of {super().extra_repr()}"
