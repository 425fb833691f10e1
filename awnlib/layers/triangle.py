"""What triangular layers share: the staircase as a mask, and how many connections it leaves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from awnlib.channels import Channels, staircase


def register_staircase(
    layer: nn.Conv2d | nn.Linear,
    channels_in: Channels,
    channels_out: Channels,
    *,
    dense_base: bool,
    features_per_channel: int = 1,
) -> None:
    """Give a layer the buffers `limits` [out] and `mask` [out, in, 1...], and zero its weights above the staircase.

    Both follow from the layer's `Channels`, so they are in no checkpoint.
    """
    limits = torch.tensor(staircase(channels_in, channels_out, dense_base=dense_base))
    inputs = torch.arange(channels_in.full * features_per_channel)
    mask = (inputs < limits[:, None] * features_per_channel).to(layer.weight.dtype)
    mask = mask.reshape(*mask.shape, *[1] * (layer.weight.ndim - 2))
    layer.register_buffer("limits", limits, persistent=False)
    layer.register_buffer("mask", mask, persistent=False)
    with torch.no_grad():
        layer.weight.mul_(mask)


def mask_weight(weight: Tensor, mask: Tensor) -> Tensor:
    """Return the active weights [out, in, ...] with those above the staircase zero, in value and in gradient."""
    return weight * mask[: weight.shape[0], : weight.shape[1]]


def count_connections(limits: Tensor, channels_in: Channels, channels_out: Channels) -> int:
    """Return how many (input, output) channel pairs are connected at the active width."""
    return int(limits[: channels_out.active].clamp(max=channels_in.active).sum())
