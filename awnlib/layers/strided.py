"""Convolutions without strided 1x1 kernels: these are stride-1 convolutions of the pixels that they read.

oneDNN's weight gradient of a strided 1x1 convolution in channels_last writes outside its memory when there are few
input channels: in float32 1 to 7 of them on CPUs without AVX-512, in bfloat16 1 to 12 on CPUs with it (seen with torch
2.13, `tests/fuzz_layers.py`). Narrow networks' shortcuts crash, or worse, do not. Without the stride the numbers are
the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

FEW_INPUTS = 16  # the widest register holds so many float32 numbers


def convolve(layer: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
    """Convolve with a layer's stride and padding; every dense convolution of the library comes through here.

    Parameters
    ----------
    layer
        Gives kernel size, stride, padding with its mode, and dilation.
    input, weight, bias, groups
        As in `torch.nn.functional.conv2d`: `[N, in, H, W]`, `[out, in / groups, k, k]`, `[out]`.
    """
    padding: str | tuple[int, ...] = layer.padding
    if layer.padding_mode != "zeros":
        input, padding = F.pad(input, layer._reversed_padding_repeated_twice, layer.padding_mode), (0, 0)
    input, stride = read_pixels(input, layer.kernel_size, layer.stride, padding)
    return F.conv2d(input, weight, bias, stride, padding, layer.dilation, groups)


def read_pixels(
    input: Tensor, kernel_size: Sequence[int], stride: tuple[int, ...], padding: str | tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    """Return the pixels that a strided 1x1 convolution on a CPU reads, and stride 1; else both as they are."""
    if input.device.type != "cpu" or not is_strided_1x1(kernel_size, stride, padding):
        return input, stride
    return input[..., :: stride[0], :: stride[1]], (1, 1)


def is_strided_1x1(kernel_size: Sequence[int], stride: tuple[int, ...], padding: str | tuple[int, ...]) -> bool:
    """Whether the kernel with the fault may be chosen; with padding it is another one."""
    return max(stride) > 1 and tuple(kernel_size) == (1, 1) and not any(padding)
