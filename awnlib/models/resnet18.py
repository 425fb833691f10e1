"""ResNet18: basic residual blocks (He et al., Deep Residual Learning for Image Recognition, table 1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.models import ModelSpec
from awnlib.models._conv_norm import ConvNorm
from awnlib.models._resnet import ResidualBlock, ResNet, make_shortcut, name_in_torchvision

TITLE = "ResNet18"

NUM_BLOCKS = (2, 2, 2, 2)
"""Blocks in each stage, times `depth_mult`."""


class ResNet18(ResNet):
    """The ResNet of two basic blocks in each stage.

    `channels`: `stage1` to `stage4`, the first one that of the stem too, and `inner1` to `inner8`, between the two
    convolutions of each block.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, BasicBlock, NUM_BLOCKS)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions."""

    inner = ("inner",)
    expansion = 1

    def __init__(self, spec: ModelSpec, channels: Sequence[Channels], stride: int) -> None:
        super().__init__()
        inputs, inner, outputs = channels
        self.first = ConvNorm(spec, inputs, inner, 3, stride=stride, activation=F.relu)
        self.second = ConvNorm(spec, inner, outputs, 3)
        self.shortcut = make_shortcut(spec, inputs, outputs, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the input, `[N, outputs active, H / stride, W / stride]`."""
        y: Tensor = self.second(self.first(x))
        return y


def torchvision_name(layer: str) -> str:
    """Return what torchvision calls a layer of the plain network."""
    return name_in_torchvision(layer, NUM_BLOCKS)


build = ResNet18
