"""Convolutions of selectable width: prefix-sliced (`SlimmableConv2d`) and triangular (`TriangularConv2d`)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels, staircase
from awnlib.layers.padding import pad_last
from awnlib.layers.skip_zeros import block_conv2d, can_skip, pays_to_skip, row_blocks
from awnlib.layers.strided import convolve
from awnlib.layers.triangle import Staircase, count_connections, mask_weight


class SlimmableConv2d(nn.Conv2d):
    r"""A convolution that uses the first active input and output channels (Slimmable Neural Networks, section 3).

    $$ y_s = b_s + \sum_{t < k_{in}} w_{st} * x_t, \qquad s < k_{out} $$

    Its features change with the width: the same output channel sums over more inputs when the network is wider.
    That is why such networks need BN statistics for each width.

    Parameters
    ----------
    in_channels, out_channels
        `Channels` that follow the width, or a number for a fixed dimension.
    kernel_size, stride, padding, bias
        As in `torch.nn.Conv2d`.
    groups
        1, or the full number of channels for a depthwise convolution, whose input and output are the same
        `Channels` object.
    average_inputs
        Multiply the sum over the inputs by their full number over their active one: a mean, times what it is at full
        width (US-Nets, section 6, in place of a private scale for each width). A depthwise convolution has one input at
        every width, so it stays as it is. A BN layer behind takes the factor out again, but for its `eps`, if its
        statistics are those of the width: then the option shows in networks without norms alone.

    Shapes
    ------
    input `[N, in active, H, W]`, output `[N, out active, H', W']`

    Raises
    ------
    ValueError
        For any other grouping.
    """

    def __init__(
        self,
        in_channels: Channels | int,
        out_channels: Channels | int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        average_inputs: bool = False,
    ) -> None:
        self_in, self_out = Channels.of(in_channels), Channels.of(out_channels)
        if groups != 1 and not (groups == self_in.full and in_channels is out_channels):
            raise ValueError(
                f"groups must be 1, or {self_in.full} with one Channels object for input and output, found {groups}"
            )
        super().__init__(
            self_in.full, self_out.full, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )
        self.channels_in, self.channels_out = self_in, self_out
        self.average_inputs = average_inputs

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved alone."""
        return self.groups > 1

    def active_weight(self) -> Tensor:
        """Return the weights in use, `[out active, in active (depthwise: 1), k, k]`, averaged if the layer averages."""
        fan_in = 1 if self.depthwise else self.channels_in.active
        weight = self.weight[: self.channels_out.active, :fan_in]
        averages = self.average_inputs and fan_in < self.weight.shape[1]
        return weight * (self.weight.shape[1] / fan_in) if averages else weight

    def dense_connections(self) -> int:
        """Return the number of weights in use, those above a staircase included; each costs one MAC at a position."""
        fan_in = 1 if self.depthwise else self.channels_in.active
        return self.channels_out.active * fan_in * self.kernel_size[0] * self.kernel_size[1]

    def active_connections(self) -> int:
        """Return the number of weights that an output position needs; each costs one MAC."""
        return self.dense_connections()

    def forward(self, input: Tensor) -> Tensor:
        """Convolve at the active width."""
        rows = self.channels_out.padding
        bias = None if self.bias is None else pad_last(self.bias[: self.channels_out.active], rows)
        weight = self.active_weight()
        if rows or self.channels_in.padding:
            columns = 0 if self.depthwise else self.channels_in.padding
            weight = F.pad(weight, (0, 0, 0, 0, 0, columns, 0, rows))
        return self._convolve(input, weight, bias)

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        groups = self.channels_out.active + self.channels_out.padding if self.depthwise else 1
        return convolve(self, input, weight, bias, groups)

    def extra_repr(self) -> str:
        """Say how many inputs and outputs are active, and of which convolution."""
        return f"active {self.channels_in.active}, {self.channels_out.active} of {super().extra_repr()}"  # type: ignore[no-untyped-call]


class TriangularConv2d(Staircase, SlimmableConv2d):
    r"""A convolution whose outputs read only inputs that are active whenever the output is ("TriConv").

    $$ y_s = b_s + \sum_{t < \ell_s} w_{st} * x_t, \qquad s < k_{out} $$

    with the staircase limits $\ell_s$ of `awnlib.channels.staircase`. So the first $k$ features are the same numbers
    at every width that keeps them, and one set of BN statistics serves all widths. Weights above the staircase are
    exactly zero and get no gradient; those of a checkpoint become zero when it is loaded. Small layers multiply by
    them and cost what a full one costs; large ones skip most of them (`awnlib.layers.skip_zeros`).
    `active_connections` counts the weights below the staircase.

    The equality holds when all dimensions have the same width multiplier; with widths set one by one
    (`SlimmableNetwork.set_widths`) a row reads those of its inputs that are active.

    Parameters
    ----------
    dense_base
        As in `awnlib.channels.staircase`. All others as in `SlimmableConv2d`. Weights start as in `torch.nn.Conv2d`
        (with the fan-in of the full layer), then those above the staircase are set to zero.

    References
    ----------
    Any-Width Networks, section 4.1 and equation 7.
    """

    def __init__(
        self,
        in_channels: Channels | int,
        out_channels: Channels | int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        dense_base: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias
        )
        self.limits = []
        if not self.depthwise:
            self._set_staircase(staircase(self.channels_in, self.channels_out, dense_base=dense_base))

    def active_weight(self) -> Tensor:
        """Return the weights in use, zero above the staircase."""
        weight = super().active_weight()
        return weight if self.depthwise else mask_weight(weight, self.mask)

    def active_connections(self) -> int:
        """Return the number of weights at or below the staircase that an output position needs."""
        if self.depthwise:
            return super().active_connections()
        return (
            count_connections(self.limits, self.channels_in, self.channels_out)
            * self.kernel_size[0]
            * self.kernel_size[1]
        )

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.depthwise or not (can_skip() and pays_to_skip(weight)):
            return super()._convolve(input, weight, bias)
        blocks = row_blocks(self.limits[: self.channels_out.active], weight.shape[1], weight.shape[0])
        return block_conv2d(input, weight, bias, blocks, self.stride, self.padding)
