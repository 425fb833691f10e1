"""What triangular layers share: the staircase as a mask, and how many connections it leaves."""

from __future__ import annotations

from collections.abc import Sequence

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
) -> list[int]:
    """Give a layer the buffer `mask` [out, in, 1...], zero its weights above the staircase, and return the staircase.

    The mask follows from the layer's `Channels`, so it is in no checkpoint.
    """
    limits = staircase(channels_in, channels_out, dense_base=dense_base)
    inputs = torch.arange(channels_in.full * features_per_channel)
    mask = (inputs < torch.tensor(limits)[:, None] * features_per_channel).to(layer.weight.dtype)
    mask = mask.reshape(*mask.shape, *[1] * (layer.weight.ndim - 2))
    layer.register_buffer("mask", mask, persistent=False)
    with torch.no_grad():
        layer.weight.mul_(mask)
    return limits


def mask_weight(weight: Tensor, mask: Tensor) -> Tensor:
    """Return the active weights [out, in, ...] with those above the staircase zero, in value and in gradient."""
    return weight * mask[: weight.shape[0], : weight.shape[1]]


def count_connections(limits: Sequence[int], channels_in: Channels, channels_out: Channels) -> int:
    """Return how many (input, output) channel pairs are connected at the active width."""
    return sum(min(limit, channels_in.active) for limit in limits[: channels_out.active])
