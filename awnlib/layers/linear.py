"""Linear layers of selectable width: prefix-sliced (`SlimmableLinear`) and triangular (`TriangularLinear`)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels, staircase
from awnlib.layers.triangle import Staircase, count_connections, mask_weight


class SlimmableLinear(nn.Linear):
    r"""A linear layer over the features of the first active channels; the classifier of every network here.

    $$ y_s = b_s + \sum_{t < k_{in}} w_{st} x_t, \qquad s < k_{out} $$

    Parameters
    ----------
    in_features, out_features
        `Channels` that follow the width, or a number for a fixed dimension (the classes).
    features_per_channel
        Inputs that belong to one channel, when a feature map [channel, height, width] was flattened.

    Shapes
    ------
    input `[N, in active * features_per_channel]`, output `[N, out active]`
    """

    def __init__(
        self,
        in_features: Channels | int,
        out_features: Channels | int,
        *,
        bias: bool = True,
        features_per_channel: int = 1,
    ) -> None:
        self_in, self_out = Channels.of(in_features), Channels.of(out_features)
        super().__init__(self_in.full * features_per_channel, self_out.full, bias=bias)
        self.channels_in, self.channels_out = self_in, self_out
        self.features_per_channel = features_per_channel

    def active_weight(self) -> Tensor:
        """Return the weights in use, `[out active, in active * features_per_channel]`."""
        return self.weight[: self.channels_out.active, : self.channels_in.active * self.features_per_channel]

    def dense_connections(self) -> int:
        """Return the number of weights in use, those above a staircase included; each costs one MAC."""
        return self.channels_out.active * self.channels_in.active * self.features_per_channel

    def active_connections(self) -> int:
        """Return the number of weights that are needed; each costs one MAC."""
        return self.dense_connections()

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer at the active width."""
        bias = None if self.bias is None else self.bias[: self.channels_out.active]
        return F.linear(input, self.active_weight(), bias)

    def extra_repr(self) -> str:
        """Say how many inputs and outputs are active, and of which layer."""
        inputs = self.channels_in.active * self.features_per_channel
        return f"active {inputs}, {self.channels_out.active} of {super().extra_repr()}"


class TriangularLinear(Staircase, SlimmableLinear):
    """A linear layer whose outputs read only inputs that are active whenever the output is.

    The counterpart of `TriangularConv2d`; with a fixed `out_features` every output reads the inputs of the smallest
    width only, so a classifier should be a `SlimmableLinear`.

    References
    ----------
    Any-Width Networks, section 4.1 and figure 3.
    """

    def __init__(
        self,
        in_features: Channels | int,
        out_features: Channels | int,
        *,
        bias: bool = True,
        features_per_channel: int = 1,
        dense_base: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias=bias, features_per_channel=features_per_channel)
        limits = staircase(self.channels_in, self.channels_out, dense_base=dense_base)
        self._set_staircase(limits, features_per_channel)

    def active_weight(self) -> Tensor:
        """Return the weights in use, zero above the staircase."""
        return mask_weight(super().active_weight(), self.mask)

    def active_connections(self) -> int:
        """Return the number of weights at or below the staircase."""
        return count_connections(self.limits, self.channels_in, self.channels_out) * self.features_per_channel
