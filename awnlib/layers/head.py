"""`PrefixHead`: a last layer whose outputs at every width come from one pass at full width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor

from awnlib.layers.segments import Axis


class PrefixHead(Protocol):
    """What `awnlib.one_pass` and sweeps need of the layer that reads a network's features.

    Where the features of a width are the first features of every larger one, a head that reads prefixes of them gives
    the outputs of all widths. Called as a module it gives those of the active width.

    Attributes
    ----------
    channels_in
        The dimension of the features; `channels_in.count(width_mult)` is how many of them a width has.
    """

    @property
    def channels_in(self) -> Axis:
        """The dimension of the features."""
        ...

    def __call__(self, features: Tensor) -> Tensor:
        """Return the outputs at the active width, `[N, ...]`."""
        ...

    def prefix_outputs(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the outputs of several widths from the features at the active one.

        Parameters
        ----------
        features
            The head's input, `[N, ...]`; behind its active channels there may be empty ones.
        counts
            How many channels each width keeps, `[n]`, on the device, in any order, repeats allowed.

        Returns
        -------
        Tensor
            `[n, N, ...]`
        """
        ...

    def running_outputs(self, features: Tensor, counts: Sequence[int]) -> Iterator[Tensor]:
        """Yield the outputs `[N, ...]` of each of rising channel counts, adding only the channels that are new.

        All of them together cost what the largest one costs, in time and in memory.
        """
        ...
