"""ResNet18: basic residual blocks (He et al., Deep Residual Learning for Image Recognition, table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel, StageBlocks
from awnlib.models._conv_norm import ConvNorm, draw_conv_weights

TITLE = "ResNet18"

STAGES = (64, 128, 256, 512)
"""Channels of each stage; all but the first one halve the resolution."""
NUM_BLOCKS = 2
"""Blocks in each stage, times `depth_mult`."""


class ResNet18(SlimmableModel):
    """ResNet18 for images of any size: a stem, four stages of two basic blocks each, the mean, the classifier.

    `channels`: `stage1` to `stage4` (the blocks of a stage are added up, so they share one; the stem has that of the
    first stage, whose blocks are added to it) and `inner1` to `inner8`, between the two convolutions of each block.

    The stem is a 7x7 convolution of stride 2 and a pooling, or for small images (`spec.stem`) a 3x3 convolution that
    keeps the resolution. A block that changes the shape adds its input through a 1x1 convolution. Weights start as in
    torchvision.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec) -> None:
        blocks = _stage_blocks(spec.depth_mult)
        channels = spec.make_channels(factors={}, fixed=(), **_counts(blocks))
        super().__init__(spec, channels, blocks)
        first = channels["stage1"]
        kernel_size, stride = (3, 1) if spec.small_stem else (7, 2)
        self.stem = ConvNorm(spec, spec.input_shape[0], first, kernel_size, stride=stride, activation=F.relu)
        self.blocks = nn.Sequential()
        inputs = first
        for stage, names in enumerate(blocks, start=1):
            outputs = channels[f"stage{stage}"]
            for index, (inner,) in enumerate(names):
                stride = 2 if index == 0 and stage > 1 else 1
                self.blocks.append(BasicBlock(spec, inputs, channels[inner], outputs, stride))
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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input, or to a 1x1 convolution of it where shapes differ, then a ReLU."""

    def __init__(self, spec: ModelSpec, inputs: Channels, inner: Channels, outputs: Channels, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(spec, inputs, inner, 3, stride=stride, activation=F.relu)
        self.second = ConvNorm(spec, inner, outputs, 3)
        same_shape = stride == 1 and inputs is outputs
        self.shortcut = nn.Identity() if same_shape else ConvNorm(spec, inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


def _stage_blocks(depth_mult: int) -> StageBlocks:
    """Return the names of each block's own dimensions: one between its convolutions, numbered through."""
    num_blocks = NUM_BLOCKS * depth_mult
    return tuple(
        tuple((f"inner{stage * num_blocks + index + 1}",) for index in range(num_blocks))
        for stage in range(len(STAGES))
    )


def _counts(blocks: StageBlocks) -> dict[str, int]:
    """Return the plain network's channels by name, in the order of the layers."""
    counts: dict[str, int] = {}
    for stage, (count, names) in enumerate(zip(STAGES, blocks, strict=True), start=1):
        counts |= {f"stage{stage}": count, **{inner: count for (inner,) in names}}
    return counts


TORCHVISION = {
    "stem.conv": "conv1",
    "stem.norm": "bn1",
    "classifier": "fc",
    "first.conv": "conv1",
    "first.norm": "bn1",
    "second.conv": "conv2",
    "second.norm": "bn2",
    "shortcut.conv": "downsample.0",
    "shortcut.norm": "downsample.1",
}
"""What torchvision calls layers outside of blocks, and those of a block."""


def torchvision_name(layer: str) -> str:
    """Return what torchvision calls a layer of the plain network."""
    if not layer.startswith("blocks."):
        return TORCHVISION[layer]
    _, block, layer = layer.split(".", maxsplit=2)
    stage, index = divmod(int(block), NUM_BLOCKS)
    return f"layer{stage + 1}.{index}.{TORCHVISION[layer]}"


build = ResNet18
