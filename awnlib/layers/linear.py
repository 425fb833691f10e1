"""Linear layers of selectable width: prefix-sliced (`SlimmableLinear`) and triangular (`TriangularLinear`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels, staircase
from awnlib.layers.segments import Axis, Segments, axis_of, take
from awnlib.layers.triangle import Staircase, count_connections, mask_weight


class SlimmableLinear(nn.Linear):
    r"""A linear layer over the features of the first active channels; the head of classifiers.

    $$ y_s = b_s + \sum_{t < k_{in}} w_{st} x_t, \qquad s < k_{out} $$

    Parameters
    ----------
    in_features, out_features
        `Channels` that follow the width, `Segments` of several, or a number for a fixed dimension (the classes).
    features_per_channel
        Inputs that belong to one channel, when a feature map [channel, height, width] was flattened.

    Shapes
    ------
    input `[N, in active * features_per_channel]`, output `[N, out active]`
    """

    def __init__(
        self,
        in_features: Axis | int,
        out_features: Axis | int,
        *,
        bias: bool = True,
        features_per_channel: int = 1,
    ) -> None:
        self_in, self_out = axis_of(in_features), axis_of(out_features)
        super().__init__(self_in.full * features_per_channel, self_out.full, bias=bias)
        self.channels_in, self.channels_out = self_in, self_out
        self.features_per_channel = features_per_channel

    def active_weight(self) -> Tensor:
        """Return the weights in use, `[out active, in active * features_per_channel]`."""
        weight = take(self.weight, self.channels_out)
        if isinstance(self.channels_in, Segments):
            return take(weight, self.channels_in.times(self.features_per_channel), dim=1)
        return weight[:, : self.channels_in.active * self.features_per_channel]

    def dense_connections(self) -> int:
        """Return the number of weights in use, those above a staircase included; each costs one MAC."""
        return self.channels_out.active * self.channels_in.active * self.features_per_channel

    def active_connections(self) -> int:
        """Return the number of weights that are needed; each costs one MAC."""
        return self.dense_connections()

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer at the active width."""
        bias = None if self.bias is None else take(self.bias, self.channels_out)
        return F.linear(input, self.active_weight(), bias)

    def prefix_outputs(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the outputs of several widths, `[n, N, out]`, from one input (`awnlib.layers.head.PrefixHead`).

        Parameters
        ----------
        features
            The input at the active width, `[N, in active * features_per_channel]` or more, of which the first count.
        counts
            How many channels each width keeps, `[n]`, in any order.

        Raises
        ------
        ValueError
            If the number of outputs follows the width.
        """
        weight = self._weight_of_prefixes()
        kept = torch.arange(weight.shape[1], device=features.device) < counts[:, None] * self.features_per_channel
        weights = (weight * kept[:, None, :]).flatten(0, 1)
        bias = self.bias.repeat(len(counts)) if self.bias is not None else None
        outputs = F.linear(features[:, : weight.shape[1]], weights, bias)
        return outputs.reshape(len(features), len(counts), -1).transpose(0, 1)

    def running_outputs(self, features: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the outputs `[N, out]` of each of rising channel counts, adding only the channels that are new.

        Raises
        ------
        ValueError
            If the number of outputs follows the width.
        """
        weight = self._weight_of_prefixes()
        outputs: Tensor | None = None
        start = 0
        for count in counts:
            stop = count * self.features_per_channel
            if outputs is None:
                outputs = F.linear(features[:, :stop], weight[:, :stop], self.bias)
            elif stop > start:
                outputs = outputs + F.linear(features[:, start:stop], weight[:, start:stop])
            start = stop
            yield outputs

    def _weight_of_prefixes(self) -> Tensor:
        """Return the weights in use, if each width has the same outputs."""
        if not self.channels_out.fixed:
            raise ValueError(f"the outputs of a head must be fixed, found {self.channels_out}")
        return self.active_weight()

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
        inputs, outputs = Channels.of(in_features), Channels.of(out_features)
        super().__init__(inputs, outputs, bias=bias, features_per_channel=features_per_channel)
        limits = staircase(inputs, outputs, dense_base=dense_base)
        self._set_staircase(limits, features_per_channel)

    def active_weight(self) -> Tensor:
        """Return the weights in use, zero above the staircase."""
        return mask_weight(super().active_weight(), self.mask)

    def active_connections(self) -> int:
        """Return the number of weights at or below the staircase."""
        return count_connections(self.limits, self.channels_in, self.channels_out) * self.features_per_channel
