"""The network of PPO on Atari games: convolutions, a linear layer, actor and critic (US-Nets, section 5.1)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import PrefixHead, SlimmableConv2d, SlimmableLinear
from awnlib.layers.triangle import Staircase
from awnlib.models import ModelSpec, SlimmableModel
from awnlib.settings import Settings

TITLE = "Nature CNN"
LARGE, SMALL = ([[32, 8, 4], [64, 4, 2], [32, 3, 1]], 512), ([[16, 3, 1]], 128)
SMALLEST_LARGE = 36  # pixels that the three convolutions turn into one
ACTOR_GAIN = 0.01
Convolution = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]


class Options(Settings):
    """The layers, in place of those that suit the size of the images."""

    convolutions: Annotated[list[Convolution], Field(min_length=1)] | None = Field(
        default=None, description="channels, kernel size and stride of each convolution"
    )
    hidden: int | None = Field(default=None, ge=1, description="features of the linear layer behind them")


class NatureCNN(SlimmableModel):
    """Convolutions with ReLU, a linear layer with ReLU, and the two heads, which are the rows of one linear layer.

    Without `Options`, images of 36 pixels and more have the layers of the paper: 32, 64 and 32 channels (kernels of 8,
    4 and 3, strides of 4, 2 and 1) and 512 features; smaller ones those of MinAtar (Young and Tian, 2019): 16 channels
    (kernel 3) and 128 features. All follow the width. No norms: of triangular layers one pass has the policies and
    values of all widths. Weights start orthogonal with the gains of PPO's implementations: sqrt(2), .01 for the actor,
    1 for the critic; biases at 0.

    Shapes
    ------
    input `[N, *spec.input_shape]`, output `[N, spec.num_classes]`: a logit for each action, and last the value

    Raises
    ------
    ValueError
        If nothing is left of the image.
    """

    def __init__(self, spec: ModelSpec) -> None:
        inputs, *sides = spec.input_shape
        options = Options.model_validate(spec.options)
        shapes, hidden = LARGE if min(sides) >= SMALLEST_LARGE else SMALL
        shapes, hidden = options.convolutions or shapes, options.hidden or hidden
        counts = {f"conv{index}": count for index, (count, _, _) in enumerate(shapes, start=1)}
        channels = spec.make_channels(factors=None, fixed=(), **counts, hidden=hidden)
        super().__init__(spec, channels)
        *outputs, features = channels.values()
        self.convs = nn.ModuleList(
            spec.conv(read, channel, kernel, stride=stride, bias=True)
            for read, channel, (_, kernel, stride) in zip(
                [Channels.of(inputs), *outputs], outputs, shapes, strict=False
            )
        )
        height, width = (_left(side, shapes) for side in sides)
        self.linear = spec.linear(outputs[-1], features, features_per_channel=height * width)
        self.actor_critic = SlimmableLinear(features, spec.num_classes)
        self.draw_weights()

    @property
    def head(self) -> PrefixHead:
        """Actor and critic."""
        return self.actor_critic

    def features(self, images: Tensor) -> Tensor:
        """Return the input of actor and critic, `[N, hidden active]`."""
        x = images
        for conv in self.convs:
            x = F.relu(conv(x))
        return F.relu(self.linear(torch.flatten(x, 1)))

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Start orthogonal."""
        for layer in (*self.convs, self.linear):
            _orthogonal(layer, 2**0.5)
        _orthogonal(self.actor_critic, 1.0)
        nn.init.orthogonal_(self.actor_critic.weight[:-1], ACTOR_GAIN)


def _orthogonal(layer: nn.Module, gain: float) -> None:
    """Draw a layer's weights; those above a staircase stay zero."""
    assert isinstance(layer, SlimmableConv2d | SlimmableLinear)
    nn.init.orthogonal_(layer.weight, gain)
    if isinstance(layer, Staircase):
        layer.weight.mul_(layer.mask)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def _left(side: int, shapes: list[list[int]]) -> int:
    """Return the side of the last feature map; raise a ValueError if nothing is left of the image."""
    left = side
    for _, kernel, stride in shapes:
        left = (left - kernel) // stride + 1 if left >= kernel else 0
    if left < 1:
        text = ", ".join(f"{kernel} by {stride}" for _, kernel, stride in shapes)
        raise ValueError(f"nothing is left of {side} pixels after convolutions of kernel by stride {text}")
    return left


build = NatureCNN
