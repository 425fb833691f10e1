"""What ResNets have in common: a stem, four stages of residual blocks, the mean, the classifier."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel, StageBlocks
from awnlib.models._conv_norm import ConvNorm, draw_conv_weights

STAGES = (64, 128, 256, 512)
"""Channels inside of each stage's blocks; all stages but the first one halve the resolution."""


class ResidualBlock(nn.Module):
    """A branch of convolutions, added to the input, or to a 1x1 convolution of it where shapes differ, then a ReLU.

    Subclasses are built from a spec, the dimensions that the branch passes from the block's input to its output, and a
    stride; they define the `branch` and make the `shortcut` last.

    Attributes
    ----------
    inner
        What the dimensions between two convolutions of the branch are called.
    expansion
        Channels of the block's output, relative to those inside.
    """

    inner: ClassVar[tuple[str, ...]]
    expansion: ClassVar[int]
    shortcut: nn.Module

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the input, `[N, outputs active, H / stride, W / stride]`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        return F.relu(self.branch(x) + self.shortcut(x))


def make_shortcut(spec: ModelSpec, inputs: Channels, outputs: Channels, stride: int) -> nn.Module:
    """Return what a block's input passes: nothing, or a 1x1 convolution where shapes differ."""
    same_shape = stride == 1 and inputs is outputs
    return nn.Identity() if same_shape else ConvNorm(spec, inputs, outputs, 1, stride=stride)


class ResNet(SlimmableModel):
    """A ResNet for images of any size; weights start as in torchvision.

    `channels`: `stage1` to `stage4` (the blocks of a stage are added up, so they share one) and those inside of each
    block, which are numbered through. The stem has those of the first stage if its blocks are added to it, else `stem`.

    The stem is a 7x7 convolution of stride 2 and a pooling, or for small images (`spec.stem`) a 3x3 convolution that
    keeps the resolution.

    Parameters
    ----------
    block
        What the stages consist of.
    num_blocks
        Blocks of each stage of the plain network; `spec.depth_mult` multiplies them.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec, block: type[ResidualBlock], num_blocks: Sequence[int]) -> None:
        blocks = _stage_blocks(block.inner, [spec.depth_mult * number for number in num_blocks])
        channels = spec.make_channels(factors={}, fixed=(), **_counts(blocks, block.expansion))
        super().__init__(spec, channels, blocks)
        inputs = next(iter(channels.values()))
        kernel_size, stride = (3, 1) if spec.small_stem else (7, 2)
        self.stem = ConvNorm(spec, spec.input_shape[0], inputs, kernel_size, stride=stride, activation=F.relu)
        self.blocks = nn.Sequential()
        for stage, several in enumerate(blocks, start=1):
            outputs = channels[f"stage{stage}"]
            for index, names in enumerate(several):
                stride = 2 if index == 0 and stage > 1 else 1
                self.blocks.append(block(spec, [inputs, *(channels[name] for name in names), outputs], stride))
                inputs = outputs
        self.classifier = SlimmableLinear(inputs, spec.num_classes)
        self.draw_weights()

    def draw_weights(self) -> None:
        """Draw the weights of the convolutions as torchvision does."""
        draw_conv_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's input, `[N, stage4 active]`."""
        x = self.stem(images)
        if not self.spec.small_stem:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        return torch.flatten(F.adaptive_avg_pool2d(self.blocks(x), 1), 1)


def _stage_blocks(inner: Sequence[str], num_blocks: Sequence[int]) -> StageBlocks:
    """Return the names of each block's own dimensions: those inside of it, with the number of the block."""
    starts = accumulate(num_blocks, initial=1)
    return tuple(
        tuple(tuple(f"{name}{block}" for name in inner) for block in range(start, start + number))
        for start, number in zip(starts, num_blocks, strict=False)
    )


def _counts(blocks: StageBlocks, expansion: int) -> dict[str, int]:
    """Return the plain network's channels by name, in the order of the layers."""
    counts = {"stem": STAGES[0]} if expansion > 1 else {}
    for stage, (count, several) in enumerate(zip(STAGES, blocks, strict=True), start=1):
        counts |= {f"stage{stage}": expansion * count, **{name: count for names in several for name in names}}
    return counts


TORCHVISION = {
    "stem.conv": "conv1",
    "stem.norm": "bn1",
    "classifier": "fc",
    "first.conv": "conv1",
    "first.norm": "bn1",
    "second.conv": "conv2",
    "second.norm": "bn2",
    "third.conv": "conv3",
    "third.norm": "bn3",
    "shortcut.conv": "downsample.0",
    "shortcut.norm": "downsample.1",
}
"""What torchvision calls layers outside of blocks, and those of a block."""


def name_in_torchvision(layer: str, num_blocks: Sequence[int]) -> str:
    """Return what torchvision calls a layer of the plain network, whose stages have so many blocks."""
    if not layer.startswith("blocks."):
        return TORCHVISION[layer]
    _, block, layer = layer.split(".", maxsplit=2)
    starts = [0, *accumulate(num_blocks[:-1])]
    stage = bisect(starts, int(block))
    return f"layer{stage}.{int(block) - starts[stage - 1]}.{TORCHVISION[layer]}"
