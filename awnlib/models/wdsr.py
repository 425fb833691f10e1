"""WDSR for super-resolution (Yu et al., Wide Activation for Efficient and Accurate Image Super-Resolution, 2018)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, weight_norm
from awnlib.layers.weight_norm import draw_normalised
from awnlib.models import ModelSpec, SlimmableModel
from awnlib.models._upsampling import Skip, UpsamplingHead, bicubic_filters
from awnlib.settings import Settings, parse

TITLE = "WDSR"
WIDTH = 32  # channels of the plain network's trunk
EXPANSION = {"a": 4, "b": 6}
LOW = 0.8  # of the trunk's channels: what the second convolution of a block b leaves
SMALL = 0.1  # norm of the last filters where the image is enlarged bicubically: training begins there


class Options(Settings):
    """What only WDSR has."""

    block: Literal["a", "b"] = Field(
        default="a", description="two 3x3 convolutions, or two of 1x1 and one of 3x3 (section 3.3 of the paper)"
    )
    num_blocks: int = Field(default=8, ge=1, description="residual blocks; depth_mult times as many")
    skip: Skip = Field(
        default="learned", description="what enlarges the image itself; with bicubic a short training suffices"
    )


class WideBlock(nn.Module):
    """Convolutions with many channels before the activation and few after it, added to their input.

    Parameters
    ----------
    spec
        Makes the layers.
    trunk
        Both ends.
    inner
        What lies between: the expansion and, in a block b, the channels before the 3x3 convolution.
    """

    def __init__(self, spec: ModelSpec, trunk: Channels, *inner: Channels) -> None:
        super().__init__()
        ends, sizes = [trunk, *inner, trunk], (3, 3) if len(inner) == 1 else (1, 1, 3)
        self.convs = nn.ModuleList(
            weight_norm(spec.conv(read, left, size, padding=size // 2, bias=True))
            for read, left, size in zip(ends, ends[1:], sizes, strict=False)
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return the input and what the block adds to it, `[N, trunk active, H, W]`."""
        expand, *others = self.convs
        x = F.relu(expand(input))
        for conv in others:
            x = conv(x)
        return input + x

    def draw_weights(self, norm: float) -> None:
        """Draw the weights, with `norm` for the filters of the last convolution."""
        expand, *between, last = self.convs
        for conv, its_norm in ((expand, 2.0), *((conv, 1.0) for conv in between), (last, norm)):
            assert isinstance(conv, SlimmableConv2d)
            draw_normalised(conv, its_norm)


class WDSR(SlimmableModel):
    """A convolution, residual blocks of wide activation, and a head that adds what they found to the enlarged image.

    32 channels and 8 blocks (`base_width_mult` 2 gives the 64 of US-Nets, figure 4); weight normalisation, no norms.
    Weights start as in the authors' code: filters of norm 2 in expansions, 1 / sqrt(blocks) at the end of blocks.

    Shapes
    ------
    input `[N, C, H, W]`, normalised, of any height and width; output `[N, C, scale * H, scale * W]`, where the C times
    scale^2 is `spec.num_classes`
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.own = parse(Options, spec.options)
        colours = spec.input_shape[0]
        scale = math.isqrt(spec.num_classes // colours)
        if colours * scale**2 != spec.num_classes:
            raise ValueError(
                f"wdsr needs {colours} outputs for each of scale^2 pixels that one becomes, found {spec.num_classes}"
            )
        blocks = [tuple(self._names(number)) for number in range(1, self.own.num_blocks * spec.depth_mult + 1)]
        channels = self._make_channels(spec, [name for block in blocks for name in block])
        super().__init__(spec, channels, (tuple(blocks),))
        trunk = channels["trunk"]
        self.first = weight_norm(spec.conv(colours, trunk, 3, padding=1, bias=True))
        self.blocks = nn.ModuleList(WideBlock(spec, trunk, *(channels[name] for name in block)) for block in blocks)
        self.last = UpsamplingHead(colours, trunk, scale, self.own.skip)
        self.draw_weights()

    def _names(self, number: int) -> list[str]:
        """Return the names of the dimensions that belong to one block alone."""
        return [f"expand{number}"] if self.own.block == "a" else [f"expand{number}", f"low{number}"]

    def _make_channels(self, spec: ModelSpec, inner: list[str]) -> dict[str, Channels]:
        """Return the trunk and the inner dimensions; `low` ones have int(.8 n) channels, which no factor gives."""
        expansion = EXPANSION[self.own.block]
        low = [name for name in inner if name.startswith("low")]
        counts: dict[str, Any] = {name: int(LOW * WIDTH) if name in low else expansion * WIDTH for name in inner}
        factors = {name: expansion for name in inner if name not in low}
        trunk = spec.make_channels(factors=factors, trunk=WIDTH, **counts)["trunk"].full
        full = {**dict.fromkeys(low, int(LOW * trunk)), **spec.channels}
        return spec.model_copy(update={"channels": full}).make_channels(factors=factors, trunk=WIDTH, **counts)

    @property
    def head(self) -> UpsamplingHead:
        """What adds up the enlarged image and the features."""
        return self.last

    def features(self, images: Tensor) -> Tensor:
        """Return the head's input, `[N, C + trunk active, H, W]`: the images, and what the blocks made of them."""
        x = self.first(images)
        for block in self.blocks:
            x = block(x)
        return torch.cat([images, x], dim=1)

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Draw all weights anew: layers with normalised weights cannot do so themselves."""
        draw_normalised(self.first, 1.0)
        for block in self.blocks:
            assert isinstance(block, WideBlock)
            block.draw_weights(1 / math.sqrt(len(self.blocks)))
        draw_normalised(self.last.tail, SMALL if self.last.fixed else 1.0)
        if self.last.fixed:
            self.last.skip.weight.copy_(bicubic_filters(self.last.colours, self.last.scale))
        else:
            draw_normalised(self.last.skip, 1.0)


build = WDSR
