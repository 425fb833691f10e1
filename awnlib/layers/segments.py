"""`Segments`: a channel axis that several dimensions share, or of which a dimension has several elements at once.

A concatenation of two feature maps is two prefixes one behind the other; a flattened map has height times width
elements a channel, a group convolution so many channels a group. All are lists of segments, of each of which the
first `active * each` elements are used::

    axis = Segments([(trunk, 1), (branch, 1)])       # torch.cat([trunk, branch], dim=1)
    take(weight, axis.times(49), dim=1)              # the columns of a linear layer that reads it flattened, 7x7
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from awnlib.channels import Channels


class Segment(NamedTuple):
    """A dimension, and how many neighbouring elements of the axis each of its channels is."""

    channels: Channels
    each: int = 1

    @property
    def full(self) -> int:
        """How many elements of the axis the dimension has."""
        return self.channels.full * self.each

    @property
    def active(self) -> int:
        """How many of them are used."""
        return self.channels.active * self.each


class Segments:
    """An axis made of dimensions; where a layer takes `Channels`, it takes these as well.

    Parameters
    ----------
    parts
        `(channels, each)` in the order of the axis. Several axes may hold the same `Channels`, with other multiples:
        the channels of a group convolution are multiples of *one* dimension, the number of groups.

    Raises
    ------
    ValueError
        If there are no parts, or a multiple is below 1.

    Attributes
    ----------
    full, active, fixed, min_width_mult
        As those of `Channels`, of all parts together.
    """

    padding = 0
    """No empty channels are added (`Channels.padding`)."""

    def __init__(self, parts: Iterable[tuple[Channels, int]]) -> None:
        self.parts = [Segment(*part) for part in parts]
        if not self.parts:
            raise ValueError("an axis needs one or more parts, found none")
        for part in self.parts:
            if part.each < 1:
                raise ValueError(f"a part has one or more elements a channel, found {part.each} of {part.channels}")
        self.full = sum(part.full for part in self.parts)
        self.fixed = all(part.channels.fixed for part in self.parts)
        self.min_width_mult = max(part.channels.min_width_mult for part in self.parts)

    @property
    def active(self) -> int:
        """How many elements are used."""
        return sum(part.active for part in self.parts)

    @property
    def name(self) -> str:
        """The names of the parts."""
        return " + ".join(part.channels.name or str(part.full) for part in self.parts)

    @property
    def width_mult(self) -> float:
        """The width of the widest part, which decides whose BN statistics are used if they differ."""
        return max(part.channels.width_mult for part in self.parts)

    @property
    def trained(self) -> tuple[float, ...]:
        """The trained widths of the first part; setting them sets those of every part."""
        return self.parts[0].channels.trained

    @trained.setter
    def trained(self, width_mults: Sequence[float]) -> None:
        for part in self.parts:
            part.channels.trained = tuple(width_mults)

    def count(self, width_mult: float) -> int:
        """Return the number of elements when all parts have a width multiplier."""
        return sum(part.channels.count(width_mult) * part.each for part in self.parts)

    def snap(self, width_mult: float) -> float:
        """Return a width as `Channels.snap` does."""
        return self.parts[0].channels.snap(width_mult)

    def times(self, each: int) -> Segments:
        """Return the axis in which every element is `each` neighbouring ones: a flattened feature map."""
        return Segments((part.channels, part.each * each) for part in self.parts)

    def runs(self, width_mult: float | None = None) -> list[tuple[int, int]]:
        """Return the stretches that are used, or would be at a width, as `(start, length)`; neighbours are one."""
        found: list[tuple[int, int]] = []
        start = 0
        for part in self.parts:
            length = part.active if width_mult is None else part.channels.count(width_mult) * part.each
            if found and sum(found[-1]) == start:
                found[-1] = (found[-1][0], found[-1][1] + length)
            else:
                found.append((start, length))
            start += part.full
        return found

    def __repr__(self) -> str:
        parts = ", ".join(f"{channels}" + (f" x {each}" if each > 1 else "") for channels, each in self.parts)
        return f"Segments({self.active}/{self.full}: {parts})"


Axis = Channels | Segments
"""What a layer's inputs or outputs are."""


def axis_of(axis: Axis | int) -> Axis:
    """Return the axis itself, or a fixed dimension for a plain number."""
    return Channels.of(axis) if isinstance(axis, int) else axis


def parts_of(axis: Axis) -> list[Segment]:
    """Return what an axis consists of."""
    return axis.parts if isinstance(axis, Segments) else [Segment(axis)]


def prefix_of(axis: Axis) -> Channels:
    """Return the dimension of an axis of which a width has the first elements; a ValueError if it has `Segments`."""
    if isinstance(axis, Segments):
        raise ValueError(f"only axes of one dimension are measured, where a width has the first channels, found {axis}")
    return axis


def runs_of(axis: Axis, width_mult: float | None = None) -> list[tuple[int, int]]:
    """Return the stretches of an axis that are used, or would be at a width, as `(start, length)`."""
    if isinstance(axis, Segments):
        return axis.runs(width_mult)
    return [(0, axis.active if width_mult is None else axis.count(width_mult))]


def indices(axis: Axis, width_mult: float | None = None) -> Tensor:
    """Return where the elements of an axis are that are used, or would be at a width, rising."""
    return torch.cat([torch.arange(start, start + length) for start, length in runs_of(axis, width_mult)])


def take(tensor: Tensor, axis: Axis, dim: int = 0) -> Tensor:
    """Return the active elements of a tensor along one dimension: a view, but a copy of several stretches."""
    if not isinstance(axis, Segments):
        return tensor.narrow(dim, 0, axis.active)
    pieces = [tensor.narrow(dim, start, length) for start, length in axis.runs()]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def put(tensor: Tensor | None, axis: Axis, values: Tensor) -> None:
    """Write values to the active elements of a vector, those that `take` returns."""
    assert tensor is not None
    read = 0
    for start, length in runs_of(axis):
        tensor[start : start + length] = values[read : read + length]
        read += length
