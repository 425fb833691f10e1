"""A triangular convolution that computes blocks of rows, each over the inputs that it reads, instead of many zeros.

The rows of the staircase are cut into four blocks. The inputs that no row of a block reads are skipped, forward and
backward; the zeros inside a block are computed. That leaves 5/8 of the multiplications of a square layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from awnlib.layers.strided import read_pixels

NUM_BLOCKS = 4
LANES = 16  # a block's sides are multiples of this: float32 numbers in an AVX-512 register
MIN_INTENSITY = 256  # multiplications for each element read or written, from which on skipping them pays

Block = tuple[int, int, int]  # first row, row after the last, inputs read


def pays_to_skip(weight: Tensor) -> bool:
    """Whether blocks of rows are faster than one convolution with zeros in its weights.

    Blocks save multiplications and cost copies of feature maps. So they pay when there are many multiplications for
    each input and output element, in_channels * out_channels * k^2 / (in_channels + out_channels): 3x3 convolutions
    from 57 channels on, 1x1 convolutions from 512. Measured on a CPU (`benchmarks/layer_kernels.py`); not on GPUs,
    where nothing is skipped.
    """
    out_channels, in_channels, height, width = weight.shape
    intensity = in_channels * out_channels * height * width / (in_channels + out_channels)
    return weight.device.type == "cpu" and intensity >= MIN_INTENSITY


def can_skip() -> bool:
    """Whether blocks can be computed here: tracers and the transforms of functions know plain operations only.

    `torch.jit.trace` (the older ONNX exporter and counters of operations use it), `torch.func` and forward-mode
    derivatives get one convolution with zeros in its weights. `torch.compile` and `torch.export` understand blocks.
    """
    if torch.compiler.is_compiling():
        return True
    forward_mode = forward_ad._current_level >= 0
    is_tracing = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return not (is_tracing or torch._C._are_functorch_transforms_active() or forward_mode)


def row_blocks(limits: Sequence[int], num_inputs: int, num_rows: int) -> list[Block]:
    """Cut the rows of a staircase into blocks of about equal height.

    Parameters
    ----------
    limits
        How many inputs each row reads (`awnlib.channels.staircase`), rising.
    num_inputs, num_rows
        The layer's channels, empty ones at their end included. The last block reads all inputs.
    """
    height = _round_up(-(-num_rows // NUM_BLOCKS))
    blocks: list[Block] = []
    for start in range(0, num_rows, height):
        stop = min(start + height, num_rows)
        reads = min(_round_up(limits[min(stop, len(limits)) - 1]), num_inputs) if stop < num_rows else num_inputs
        if blocks and blocks[-1][2] == reads:
            start = blocks.pop()[0]
        blocks.append((start, stop, reads))
    return blocks


def block_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    blocks: Sequence[Block],
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
) -> Tensor:
    """Convolve block by block; equal to `torch.nn.functional.conv2d` if the weights outside of the blocks are zero.

    Gradients of weights outside of the blocks are zero.

    Parameters
    ----------
    input, weight, bias, stride, padding
        As in `torch.nn.functional.conv2d`: `[N, in, H, W]`, `[out, in, k, k]`, `[out]`.
    blocks
        As `row_blocks` gives them.
    """
    device = input.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        input, weight = input.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    input, stride = read_pixels(input, weight.shape[2:], stride, padding)
    output: Tensor = _BlockConv2d.apply(input, weight, bias, blocks, stride, padding)  # type: ignore[no-untyped-call]
    return output


class _BlockConv2d(torch.autograd.Function):
    """Forward by blocks of rows; backward by the columns that a block reads and its predecessors do not.

    Autograd's own backward pass through slices would fill a full-size gradient with zeros for each of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        blocks: Sequence[Block],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.blocks, ctx.stride, ctx.padding, ctx.has_bias = blocks, stride, padding, bias is not None
        outputs = [
            F.conv2d(
                input[:, :reads],
                weight[start:stop, :reads],
                None if bias is None else bias[start:stop],
                stride,
                padding,
            )
            for start, stop, reads in blocks
        ]
        return torch.cat(outputs, dim=1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        needs_input, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        grad_inputs: list[Tensor] = []
        grad_weight = torch.zeros_like(weight) if needs_weight else None
        grad_bias: Tensor | None = None
        read = 0
        for start, _, reads in ctx.blocks:
            first_with_bias = start == 0 and ctx.has_bias and needs_bias  # the first columns meet all rows
            some_input, some_weight, some_bias = torch.ops.aten.convolution_backward(
                grad_output[:, start:],
                input[:, read:reads],
                weight[start:, read:reads],
                [len(weight)] if first_with_bias else None,
                ctx.stride,
                ctx.padding,
                (1, 1),
                False,
                (0, 0),
                1,
                (needs_input, needs_weight, first_with_bias),
            )
            grad_inputs.append(some_input)
            if grad_weight is not None:
                grad_weight[start:, read:reads] = some_weight
            grad_bias = some_bias if first_with_bias else grad_bias
            read = reads
        grad_input = torch.cat(grad_inputs, dim=1) if needs_input else None
        return grad_input, grad_weight, grad_bias, None, None, None


def _round_up(count: int) -> int:
    return -(-count // LANES) * LANES
