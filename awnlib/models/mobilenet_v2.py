"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al., MobileNetV2, table 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel, StageBlocks
from awnlib.models._conv_norm import ConvNorm, draw_conv_weights

TITLE = "MobileNetV2"

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage; `depth_mult` multiplies blocks where there are several."""
STEM, LAST = 32, 1280
"""Channels of the first and the last convolution."""


class MobileNetV2(SlimmableModel):
    """MobileNetV2 for images of any size: a stem, seventeen inverted residuals, a last 1x1 convolution, the classifier.

    `channels`: the `stem`, `stage1` to `stage7` (the blocks of a stage are added up, so they share one), `expand2` to
    `expand17` (six times the channels of the block's input, at every width) and the `last` convolution.

    For small images (`spec.stem`) the stem and the second stage keep the resolution: 32x32 ends at 4x4, not at 1x1.

    The last convolution keeps its 1280 channels at every width if layers are sliced, as in the published width
    multipliers (torchvision; US-Nets, table 1), unless the spec says `slim_last`: width optimisers choose its count
    like any other. In a triangular network all its rows could read only the inputs of the smallest width if it were
    fixed, so there it always follows the width and the classifier reads a prefix.

    Without dropout. Weights start as in torchvision.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec) -> None:
        fixed = ["last"] if spec.layer == "sliced" and not spec.slim_last else []
        blocks = _stage_blocks(spec.depth_mult)
        counts = _counts(blocks)
        channels = spec.make_channels(**counts, last=LAST, factors=_expansions(counts), fixed=fixed)
        super().__init__(spec, channels, blocks)
        small = spec.small_stem
        stem_stride = 1 if small else 2
        self.stem = ConvNorm(spec, spec.input_shape[0], channels["stem"], 3, stride=stem_stride, activation=F.relu6)
        self.blocks = nn.Sequential()
        inputs = channels["stem"]
        for stage, (names, (*_, stage_stride)) in enumerate(zip(blocks, STAGES, strict=True), start=1):
            outputs = channels[f"stage{stage}"]
            for index, own in enumerate(names):
                stride = stage_stride if index == 0 and not (small and stage == 2) else 1
                hidden = channels[own[0]] if own else inputs
                self.blocks.append(InvertedResidual(spec, inputs, hidden, outputs, stride))
                inputs = outputs
        self.last = ConvNorm(spec, inputs, channels["last"], 1, activation=F.relu6)
        self.classifier = SlimmableLinear(channels["last"], spec.num_classes)
        self.draw_weights()

    def draw_weights(self) -> None:
        """Draw the weights as torchvision does."""
        draw_conv_weights(self)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's input, `[N, last channels in use]`."""
        x = self.last(self.blocks(self.stem(images)))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel alone, project back; added to the input where shapes allow.

    Without an expansion (`hidden` is `inputs`) the first part is left out.
    """

    def __init__(self, spec: ModelSpec, inputs: Channels, hidden: Channels, outputs: Channels, stride: int) -> None:
        super().__init__()
        expands = hidden is not inputs
        self.expand = ConvNorm(spec, inputs, hidden, 1, activation=F.relu6) if expands else nn.Identity()
        self.depthwise = ConvNorm(spec, hidden, hidden, 3, stride=stride, groups=hidden.full, activation=F.relu6)
        self.project = ConvNorm(spec, hidden, outputs, 1)
        self.is_residual = stride == 1 and inputs is outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.is_residual else y


def _stage_blocks(depth_mult: int) -> StageBlocks:
    """Return the names of each block's own dimensions: its expansion, numbered by the block; the first has none.

    A stage of one block stays one block, whatever the depth (Width Transfer, section 3.4).
    """
    stages, block = [], 0
    for expansion, _, num_blocks, _ in STAGES:
        names = []
        for _ in range(num_blocks * depth_mult if num_blocks > 1 else 1):
            block += 1
            names.append((f"expand{block}",) if expansion > 1 else ())
        stages.append(tuple(names))
    return tuple(stages)


def _counts(blocks: StageBlocks) -> dict[str, int]:
    """Return the plain network's channels by name, in the order of the layers, without the last ones."""
    inputs = STEM
    counts = {"stem": inputs}
    for stage, (names, (expansion, outputs, *_)) in enumerate(zip(blocks, STAGES, strict=True), start=1):
        for own in names:
            counts |= dict.fromkeys(own, expansion * inputs)
            counts[f"stage{stage}"] = inputs = outputs
    return counts


def _expansions(counts: dict[str, int]) -> dict[str, int]:
    return {name: STAGES[1][0] for name in counts if name.startswith("expand")}


def torchvision_name(layer: str) -> str:
    """Return what torchvision calls a layer of the plain network: its number in `features`, and in a block's `conv`."""
    if layer == "classifier":
        return "classifier.1"
    *block, part, kind = layer.removeprefix("blocks.").split(".")
    number = {"conv": 0, "norm": 1}[kind]
    if not block:
        return f"features.{ {'stem': 0, 'last': 18}[part] }.{number}"
    index = int(block[0])
    position = {"expand": 0, "depthwise": 1, "project": 2}[part] - (index == 0)  # the first block does not expand
    return f"features.{index + 1}.conv.{position + number if part == 'project' else f'{position}.{number}'}"


build = MobileNetV2
