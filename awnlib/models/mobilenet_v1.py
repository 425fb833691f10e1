"""MobileNet v1: depthwise separable convolutions (Howard et al., MobileNets, table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel, StageBlocks
from awnlib.models._conv_norm import ConvNorm, draw_conv_weights

TITLE = "MobileNet v1"

STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
"""Channels, blocks and stride of each stage; `depth_mult` multiplies blocks where there are several."""
STEM = 32
"""Channels of the first convolution."""


class MobileNetV1(SlimmableModel):
    """MobileNet v1 for images of any size: a stem, thirteen depthwise separable convolutions, the mean, the classifier.

    `channels`: the `stem` and `block1` to `block13`, the output of each block, whose depthwise convolution has the
    channels of the block before.

    For small images (`spec.stem`) the stem and the second stage keep the resolution: 32x32 ends at 4x4, not at 1x1.

    With divisor 8, images of 224x224 and 1000 classes it has 569, 325, 149.5 and 41 million MACs at the widths 1, .75,
    .5 and .25. US-Nets, table 1, says the same but for .75: the 317 million there do not follow from its own rule for
    channels, and the authors' list beside their code has 325.

    ReLU6 as in the published code of MobileNets and US-Nets. Weights start as in the latter and as in torchvision's
    MobileNetV2.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec) -> None:
        blocks = _stage_blocks(spec.depth_mult)
        channels = spec.make_channels(factors={}, fixed=(), stem=STEM, **_counts(blocks))
        super().__init__(spec, channels, blocks)
        small = spec.small_stem
        inputs = channels["stem"]
        self.stem = ConvNorm(spec, spec.input_shape[0], inputs, 3, stride=1 if small else 2, activation=F.relu6)
        self.blocks = nn.Sequential()
        for stage, (names, (*_, stage_stride)) in enumerate(zip(blocks, STAGES, strict=True), start=1):
            for index, (name,) in enumerate(names):
                stride = stage_stride if index == 0 and not (small and stage == 2) else 1
                self.blocks.append(DepthwiseSeparable(spec, inputs, channels[name], stride))
                inputs = channels[name]
        self.classifier = SlimmableLinear(inputs, spec.num_classes)
        self.draw_weights()

    def draw_weights(self) -> None:
        """Draw the weights as the authors of US-Nets do."""
        draw_conv_weights(self)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's input, `[N, last block active]`."""
        return torch.flatten(F.adaptive_avg_pool2d(self.blocks(self.stem(images)), 1), 1)


class DepthwiseSeparable(nn.Module):
    """Convolve each channel alone, then all of them at each position."""

    def __init__(self, spec: ModelSpec, inputs: Channels, outputs: Channels, stride: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(spec, inputs, inputs, 3, stride=stride, groups=inputs.full, activation=F.relu6)
        self.pointwise = ConvNorm(spec, inputs, outputs, 1, activation=F.relu6)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


def _stage_blocks(depth_mult: int) -> StageBlocks:
    """Return the names of each block's own dimension, its output, numbered by the block.

    A stage of one block stays one block, whatever the depth (Width Transfer, section 3.4).
    """
    stages, block = [], 0
    for _, num_blocks, _ in STAGES:
        names = []
        for _ in range(num_blocks * depth_mult if num_blocks > 1 else 1):
            block += 1
            names.append((f"block{block}",))
        stages.append(tuple(names))
    return tuple(stages)


def _counts(blocks: StageBlocks) -> dict[str, int]:
    """Return the plain network's channels by name, in the order of the layers, without the stem's."""
    return {name: count for names, (count, *_) in zip(blocks, STAGES, strict=True) for (name,) in names}


build = MobileNetV1
