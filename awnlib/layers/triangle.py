"""What triangular layers share: the staircase as a mask, and how many connections it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from awnlib.layers.segments import Axis

NORMALISED = "parametrizations.weight.original1"
"""Where torch keeps the directions of a normalised layer (`awnlib.layers.weight_norm`): the rows before their norm."""


class Staircase(nn.Module):
    """Mixed into a layer with a weight `[out, in, ...]`: keeps the weights above its staircase exactly zero.

    They are zero from the start, after `reset_parameters` and in whatever is loaded: a checkpoint of another network
    may have other numbers there, which no output of a triangular layer depends on.

    Attributes
    ----------
    limits
        How many inputs each row reads (`awnlib.channels.staircase`); empty for a layer without a staircase.
    mask
        1 for the weights at or below the staircase, `[out, in, 1...]`. It follows from the limits, so it is in no
        checkpoint and is computed anew when the layer moves: `to_empty` leaves any numbers in it.
    """

    limits: list[int]
    mask: Tensor
    weight: Tensor

    def _set_staircase(self, limits: list[int], features_per_channel: int = 1) -> None:
        """Give the layer its mask, and zero the weights above the staircase."""
        self.limits = limits
        self._reads = [limit * features_per_channel for limit in limits]
        self.register_buffer("mask", self._draw_mask(self.weight), persistent=False)
        self.zero_above()

    def reset_parameters(self) -> None:
        """Draw the weights as torch does, then those above the staircase are zero."""
        super().reset_parameters()  # type: ignore[misc]
        self.zero_above()

    def zero_above(self) -> None:
        """Set the weights above the staircase to zero."""
        if hasattr(self, "mask"):
            with torch.no_grad():
                self.weight.mul_(self.mask)

    def _draw_mask(self, like: Tensor) -> Tensor:
        inputs = torch.arange(self.weight.shape[1], device=like.device)
        below = inputs < torch.tensor(self._reads, device=like.device)[:, None]
        return below.reshape(*below.shape, *[1] * (self.weight.ndim - 2)).to(like.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the layer, as `to`, `to_empty` and others do."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if hasattr(self, "mask"):
            self.mask.copy_(self._draw_mask(self.mask))
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load the weights at or below the staircase; the numbers of the caller stay as they are."""
        for key in (prefix + "weight", prefix + NORMALISED):
            weight = state_dict.get(key)
            if hasattr(self, "mask") and weight is not None and weight.shape == self.weight.shape:
                state_dict[key] = mask_weight(weight, self._draw_mask(weight))
        super()._load_from_state_dict(state_dict, prefix, *args)
        if hasattr(self, "mask") and self.mask.device != self.weight.device:  # assigned to a layer without memory
            self.mask = self._draw_mask(self.weight)


def mask_weight(weight: Tensor, mask: Tensor) -> Tensor:
    """Return the active weights [out, in, ...] with those above the staircase zero, in value and in gradient."""
    return weight * mask[: weight.shape[0], : weight.shape[1]]


def count_connections(limits: Sequence[int], channels_in: Axis, channels_out: Axis) -> int:
    """Return how many (input, output) channel pairs are connected at the active width."""
    return sum(min(limit, channels_in.active) for limit in limits[: channels_out.active])
