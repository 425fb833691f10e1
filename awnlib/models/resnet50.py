"""ResNet50: bottlenecks (He et al., Deep Residual Learning, table 1), a network of Slimmable Neural Networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.models import ModelSpec
from awnlib.models._conv_norm import ConvNorm
from awnlib.models._resnet import ResidualBlock, ResNet, make_shortcut, name_in_torchvision

TITLE = "ResNet50"

NUM_BLOCKS = (3, 4, 6, 3)
"""Blocks in each stage, times `depth_mult`."""


class ResNet50(ResNet):
    """The ResNet of three, four, six and three bottlenecks.

    `channels`: the `stem`, `stage1` to `stage4` (2048 at last), and of each block `reduce1` to `reduce16` after the
    first convolution, `inner1` to `inner16` after the second one.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, Bottleneck, NUM_BLOCKS)


class Bottleneck(ResidualBlock):
    """A 1x1 convolution to a quarter of the channels, a 3x3 one, which has the stride as in torchvision, and back."""

    inner = ("reduce", "inner")
    expansion = 4

    def __init__(self, spec: ModelSpec, channels: Sequence[Channels], stride: int) -> None:
        super().__init__()
        inputs, reduced, inner, outputs = channels
        self.first = ConvNorm(spec, inputs, reduced, 1, activation=F.relu)
        self.second = ConvNorm(spec, reduced, inner, 3, stride=stride, activation=F.relu)
        self.third = ConvNorm(spec, inner, outputs, 1)
        self.shortcut = make_shortcut(spec, inputs, outputs, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Return what is added to the input, `[N, outputs active, H / stride, W / stride]`."""
        y: Tensor = self.third(self.second(self.first(x)))
        return y


def torchvision_name(layer: str) -> str:
    """Return what torchvision calls a layer of the plain network."""
    return name_in_torchvision(layer, NUM_BLOCKS)


build = ResNet50
