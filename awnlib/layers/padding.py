"""Empty channels that fill the processor's vectors (`awnlib.channels.Channels.padding`)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pad_last(values: Tensor, count: int) -> Tensor:
    """Return a tensor with `count` zeros at the end of its last dimension."""
    return F.pad(values, (0, count)) if count else values
