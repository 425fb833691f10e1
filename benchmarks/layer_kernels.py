"""A triangular convolution that skips blocks of zeros, beside one dense convolution with masked weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import TriangularConv2d
from awnlib.layers.skip_zeros import block_conv2d, row_blocks
from benchmarks.measure import Benchmark, Case, Ratio, Target, at_most
from benchmarks.workload import Options, as_in_training

# kernel size, channels, side of the feature map, target of blocks / masked
LAYERS: list[tuple[int, int, int, Target | None]] = [
    (3, 64, 16, None),
    (3, 128, 16, None),
    (3, 256, 16, at_most(0.78)),
    (1, 512, 8, None),
    (1, 1280, 8, at_most(0.85)),
    (5, 48, 16, None),
]
BATCH_SIZE = 32


def benchmarks(options: Options) -> list[Benchmark]:
    """Return the comparison of ways to compute one layer, forward and backward."""
    cases: dict[str, Case] = {}
    ratios: list[Ratio] = []
    for kernel_size, channels, side, target in LAYERS:
        label = f"{kernel_size}x{kernel_size}, {channels} channels"
        layer = _layer(channels, kernel_size, options)
        cases[f"{label}, blocks"] = _case(layer, _blocks(layer), side, options)
        cases[f"{label}, masked"] = _case(layer, _masked(layer), side, options)
        ratios.append(Ratio(f"{label}, blocks", f"{label}, masked", target))
    for channels, side in ((256, 16), (48, 26), (45, 26)):
        layer = _layer(channels, 3, options)
        cases[f"3x3, {channels} channels, dense"] = _case(layer, _dense(layer), side, options)
    ratios.append(Ratio("3x3, 256 channels, masked", "3x3, 256 channels, dense"))
    ratios.append(Ratio("3x3, 45 channels, dense", "3x3, 48 channels, dense"))
    return [Benchmark("layer_kernels", cases, ratios)]


def _layer(channels: int, kernel_size: int, options: Options) -> TriangularConv2d:
    ends = Channels(channels), Channels(channels)
    return as_in_training(TriangularConv2d(*ends, kernel_size, padding=kernel_size // 2, bias=False), options)


def _blocks(layer: TriangularConv2d) -> Callable[[Tensor], Tensor]:
    blocks = row_blocks(layer.limits, layer.in_channels, layer.out_channels)
    stride, padding = layer.stride, layer.padding
    return lambda images: block_conv2d(images, layer.active_weight(), None, blocks, stride, padding)


def _masked(layer: TriangularConv2d) -> Callable[[Tensor], Tensor]:
    return lambda images: F.conv2d(images, layer.active_weight(), None, layer.stride, layer.padding)


def _dense(layer: TriangularConv2d) -> Callable[[Tensor], Tensor]:
    return lambda images: F.conv2d(images, layer.weight, None, layer.stride, layer.padding)


def _case(layer: TriangularConv2d, forward: Callable[[Tensor], Tensor], side: int, options: Options) -> Case:
    """Return a forward and a backward pass, which gives the gradients of the input and the weights."""
    batch_size, side = (1, 4) if options.smoke else (BATCH_SIZE, side)
    shape = (batch_size, layer.in_channels, side, side)
    images, grad = (torch.randn(shape).to(device=options.device, memory_format=torch.channels_last) for _ in range(2))
    images.requires_grad_()
    return lambda: torch.autograd.grad(forward(images), (images, layer.weight), grad)
