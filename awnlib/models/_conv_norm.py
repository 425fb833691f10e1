"""What deep networks are made of: a convolution with its norm, and how its weights start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, TriangularConv2d
from awnlib.models._spec import ModelSpec


class ConvNorm(nn.Module):
    """A convolution, its norm and an activation, if one is given; padded to keep the resolution at stride 1."""

    def __init__(
        self,
        spec: ModelSpec,
        inputs: Channels | int,
        outputs: Channels,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.conv = spec.conv(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, groups=groups)
        self.norm = spec.norm_layer(outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Return `[N, outputs active, H / stride, W / stride]`."""
        x = self.norm(self.conv(x))
        return x if self.activation is None else self.activation(x)


@torch.no_grad()
def draw_conv_weights(model: nn.Module) -> None:
    """Draw the weights of all convolutions as torchvision does; those above a staircase become zero again."""
    for layer in model.modules():
        if isinstance(layer, SlimmableConv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        if isinstance(layer, TriangularConv2d):
            layer.zero_above()
