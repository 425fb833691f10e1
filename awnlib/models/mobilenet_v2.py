"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al., MobileNetV2, table 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, SlimmableLinear
from awnlib.models._base import SlimmableModel
from awnlib.models._spec import ModelSpec

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage."""
SMALL_IMAGE = 64
"""Up to this many pixels the stem and the second stage keep the resolution: 32x32 ends at 4x4, not at 1x1."""


class MobileNetV2(SlimmableModel):
    """MobileNetV2 for images of any size: a stem, seventeen inverted residuals, a last 1x1 convolution, the classifier.

    `channels`: the `stem`, `stage1` to `stage7` (the blocks of a stage are added up, so they share one), `expand2` to
    `expand17` (six times the channels of the block's input, at every width) and the `last` convolution.

    The last convolution keeps its 1280 channels at every width if layers are sliced, as in the published width
    multipliers (torchvision; US-Nets, table 1). In a triangular network all its rows could read only the inputs of the
    smallest width then, so there it follows the width and the classifier reads a prefix.

    Without dropout. Weights start as in torchvision.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`
    """

    def __init__(self, spec: ModelSpec) -> None:
        fixed = ["last"] if spec.layer == "sliced" else []
        channels = spec.make_channels(**_counts(), last=1280, factors=_expansions(), fixed=fixed)
        super().__init__(spec, channels)
        in_channels, height, width = spec.input_shape
        small = max(height, width) <= SMALL_IMAGE
        self.stem = ConvNorm(spec, in_channels, channels["stem"], 3, stride=1 if small else 2)
        self.blocks = nn.Sequential()
        inputs = hidden = channels["stem"]
        for stage, (expansion, _, num_blocks, stage_stride) in enumerate(STAGES, start=1):
            outputs = channels[f"stage{stage}"]
            for index in range(num_blocks):
                stride = stage_stride if index == 0 and not (small and stage == 2) else 1
                if expansion > 1:
                    hidden = channels[f"expand{len(self.blocks) + 1}"]
                self.blocks.append(InvertedResidual(spec, inputs, hidden, outputs, stride))
                inputs = outputs
        self.last = ConvNorm(spec, inputs, channels["last"], 1)
        self.classifier = SlimmableLinear(channels["last"], spec.num_classes)
        self._reset_weights()

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's input, `[N, last channels in use]`."""
        x = self.last(self.blocks(self.stem(images)))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    @torch.no_grad()
    def _reset_weights(self) -> None:
        """Draw the weights as torchvision does; those above a staircase become zero again."""
        for layer in self.modules():
            if isinstance(layer, SlimmableConv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
                layer.weight.copy_(layer.active_weight())
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        if self.classifier.bias is not None:
            nn.init.zeros_(self.classifier.bias)


class ConvNorm(nn.Module):
    """A convolution, its norm, and a ReLU6 unless the block is `linear`; padded to keep the resolution at stride 1."""

    def __init__(
        self,
        spec: ModelSpec,
        inputs: Channels | int,
        outputs: Channels,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = spec.conv(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, groups=groups)
        self.norm = spec.norm_layer(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        x = self.norm(self.conv(x))
        return x if self.linear else F.relu6(x)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel alone, project back; added to the input where shapes allow.

    Without an expansion (`hidden` is `inputs`) the first part is left out.
    """

    def __init__(self, spec: ModelSpec, inputs: Channels, hidden: Channels, outputs: Channels, stride: int) -> None:
        super().__init__()
        self.expand = ConvNorm(spec, inputs, hidden, 1) if hidden is not inputs else nn.Identity()
        self.depthwise = ConvNorm(spec, hidden, hidden, 3, stride=stride, groups=hidden.full)
        self.project = ConvNorm(spec, hidden, outputs, 1, linear=True)
        self.is_residual = stride == 1 and inputs is outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.is_residual else y


def _counts() -> dict[str, int]:
    """Return the plain network's channels by name, in the order of the layers, without the last ones."""
    counts = {"stem": 32}
    block, inputs = 0, 32
    for stage, (expansion, outputs, num_blocks, _) in enumerate(STAGES, start=1):
        for _ in range(num_blocks):
            block += 1
            if expansion > 1:
                counts[f"expand{block}"] = expansion * inputs
            counts[f"stage{stage}"] = outputs
            inputs = outputs
    return counts


def _expansions() -> dict[str, int]:
    return {name: STAGES[1][0] for name in _counts() if name.startswith("expand")}


build = MobileNetV2
