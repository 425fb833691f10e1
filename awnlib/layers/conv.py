"""Convolutions of selectable width: prefix-sliced (`SlimmableConv2d`) and triangular (`TriangularConv2d`)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels, staircase
from awnlib.layers.padding import pad_last
from awnlib.layers.segments import Axis, axis_of, parts_of, take
from awnlib.layers.skip_zeros import block_conv2d, can_skip, pays_to_skip, row_blocks
from awnlib.layers.strided import convolve
from awnlib.layers.triangle import Staircase, count_connections, mask_weight

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class SlimmableConv2d(nn.Conv2d):
    r"""A convolution that uses the first active input and output channels (Slimmable Neural Networks, section 3).

    $$ y_s = b_s + \sum_{t < k_{in}} w_{st} * x_t, \qquad s < k_{out} $$

    Its features change with the width: the same output channel sums over more inputs when the network is wider.
    That is why such networks need BN statistics for each width.

    Parameters
    ----------
    in_channels, out_channels
        `Channels` that follow the width, `Segments` of several, or a number for a fixed dimension.
    kernel_size, stride, padding, dilation, bias, padding_mode
        As in `torch.nn.Conv2d`.
    groups
        1, or the full number of channels for a depthwise convolution, whose input and output are the same
        `Channels` object; with `Segments` any number: they hold whole groups, of the same dimensions in the input and
        in the output, and a narrower layer has fewer groups of the same size.
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
        in_channels: Axis | int,
        out_channels: Axis | int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        average_inputs: bool = False,
    ) -> None:
        self_in, self_out = axis_of(in_channels), axis_of(out_channels)
        if groups != 1 and not has_whole_groups(self_in, self_out, groups):
            raise ValueError(
                f"groups must be 1, or {self_in.full} with one Channels object for input and output, found {groups}; "
                "Segments may hold whole groups of the same dimensions"
            )
        super().__init__(
            self_in.full,
            self_out.full,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
        )
        self.channels_in, self.channels_out = self_in, self_out
        self.average_inputs = average_inputs

    @property
    def depthwise(self) -> bool:
        """Whether every channel, or every group, is convolved alone."""
        return self.groups > 1

    @property
    def active_groups(self) -> int:
        """How many groups are in use, empty channels included; the size of a group is the same at every width."""
        size = self.weight.shape[1]
        return (self.channels_in.active + self.channels_in.padding) // size if self.depthwise else 1

    @property
    def fan_in(self) -> int:
        """How many channels an output reads at the active width."""
        return self.weight.shape[1] if self.depthwise else self.channels_in.active

    def active_weight(self) -> Tensor:
        """Return the weights in use, `[out active, fan_in, k, k]`, averaged if the layer averages."""
        weight = take(self.weight, self.channels_out)
        if not self.depthwise:
            weight = take(weight, self.channels_in, dim=1)
        averages = self.average_inputs and self.fan_in < self.weight.shape[1]
        return weight * (self.weight.shape[1] / self.fan_in) if averages else weight

    def dense_connections(self) -> int:
        """Return the number of weights in use, those above a staircase included; each costs one MAC at a position."""
        return self.channels_out.active * self.fan_in * self.kernel_size[0] * self.kernel_size[1]

    def active_connections(self) -> int:
        """Return the number of weights that an output position needs; each costs one MAC."""
        return self.dense_connections()

    def forward(self, input: Tensor) -> Tensor:
        """Convolve at the active width."""
        rows = self.channels_out.padding
        bias = None if self.bias is None else pad_last(take(self.bias, self.channels_out), rows)
        weight = self.active_weight()
        if rows or self.channels_in.padding:
            columns = 0 if self.depthwise else self.channels_in.padding
            weight = F.pad(weight, (0, 0, 0, 0, 0, columns, 0, rows))
        return self._convolve(input, weight, bias)

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return convolve(self, input, weight, bias, self.active_groups)

    def extra_repr(self) -> str:
        """Say how many inputs and outputs are active, and of which convolution."""
        return f"active {self.channels_in.active}, {self.channels_out.active} of {super().extra_repr()}"  # type: ignore[no-untyped-call]


def has_whole_groups(inputs: Axis, outputs: Axis, groups: int) -> bool:
    """Whether both axes consist of the same dimensions in whole groups, as many in the input as in the output."""
    size_in, size_out = inputs.full // groups, outputs.full // groups
    pairs = list(zip(parts_of(inputs), parts_of(outputs), strict=False))
    whole = all(
        (a.channels is b.channels or (a.channels.fixed and b.channels.fixed))
        and a.full * size_out == b.full * size_in
        and (a.full if a.channels.fixed else a.each) % size_in == 0
        for a, b in pairs
    )
    return (
        whole and len(parts_of(inputs)) == len(parts_of(outputs)) and inputs.full % groups == outputs.full % groups == 0
    )


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
        inputs, outputs = Channels.of(in_channels), Channels.of(out_channels)
        super().__init__(inputs, outputs, kernel_size, stride=stride, padding=padding, groups=groups, bias=bias)
        self.limits = []
        if not self.depthwise:
            self._set_staircase(staircase(inputs, outputs, dense_base=dense_base))

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
