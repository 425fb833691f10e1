"""Which axes of a network are one dimension: a union-find with multiples and splits.

Every layer's output begins as a dimension of its own. What the network does with it says more: two maps that are added
have the same dimensions, one that is added to a concatenation falls into two, and the channels of a group convolution
are multiples of its groups. A dimension of which something is not understood is fixed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import lcm
from typing import NamedTuple


@dataclass(eq=False)
class Dimension:
    """A number of channels that belong together.

    Attributes
    ----------
    size
        Channels at full width.
    name
        The layer where it begins.
    reason
        Why it keeps its full width; empty if it follows the width.
    """

    size: int
    name: str = ""
    reason: str = ""
    consists_of: tuple[Piece, ...] | None = None


class Piece(NamedTuple):
    """A dimension as a part of an axis, with so many neighbouring elements for each of its channels."""

    dimension: Dimension
    each: int = 1

    @property
    def length(self) -> int:
        """Elements of the axis."""
        return self.dimension.size * self.each


class AxisPieces(tuple[Piece, ...]):
    """An axis as it was first seen; `pieces` is what it is known to be now."""

    __slots__ = ()

    @classmethod
    def new(cls, size: int, name: str = "", reason: str = "") -> AxisPieces:
        """Return an axis that is one new dimension."""
        return cls([Piece(Dimension(size, name, reason))])

    @property
    def pieces(self) -> list[Piece]:
        """What the axis consists of, as far as it is known."""
        return [piece for part in self for piece in _resolved(part)]

    @property
    def length(self) -> int:
        """Elements of the axis at full width."""
        return sum(piece.length for piece in self)

    def times(self, each: int) -> AxisPieces:
        """Return the axis in which every element is `each` neighbouring ones."""
        return AxisPieces(Piece(dimension, each * before) for dimension, before in self)

    def over(self, each: int) -> AxisPieces | None:
        """Return the axis of which this one is `times(each)`, if there is one."""
        pieces = self.pieces
        if any(piece.each % each for piece in pieces):
            return None
        return AxisPieces(Piece(dimension, before // each) for dimension, before in pieces)

    def fix(self, reason: str) -> None:
        """Let all of the axis keep its full width, for a reason, unless it does so for another one already."""
        for piece in self.pieces:
            piece.dimension.reason = piece.dimension.reason or reason


def joined(axes: Iterable[AxisPieces]) -> AxisPieces:
    """Return the axis of a concatenation."""
    return AxisPieces(piece for axis in axes for piece in axis)


def unify(one: AxisPieces, other: AxisPieces, where: str) -> None:
    """Make two axes of the same length the same dimensions; fix what does not fit, at the place `where`."""
    if one.length != other.length:
        raise AssertionError(f"{where}: axes of {one.length} and {other.length} elements cannot be one")
    start = 0
    while start < one.length:
        start += _unify_at(start, one, other, f"its parts do not fit each other in {where}")


def whole_groups(axis: AxisPieces, size: int, where: str) -> bool:
    """Make an axis one of whole groups of so many elements, or fix all of it; return whether it is."""
    fits = all(_in_groups(piece, size) for piece in axis.pieces)
    if not fits:
        axis.fix(f"groups of {size} do not fit its parts in {where}")
    return fits


def _resolved(piece: Piece) -> list[Piece]:
    inner = piece.dimension.consists_of
    if inner is None:
        return [piece]
    return [found for part in inner for found in _resolved(Piece(part.dimension, part.each * piece.each))]


def _unify_at(start: int, one: AxisPieces, other: AxisPieces, reason: str) -> int:
    """Unify two axes that are equal up to `start` a little further; return how far, 0 if they are now other pieces."""
    (a, rest_a), (b, rest_b) = _at(one, start), _at(other, start)
    if a == b and rest_a == rest_b:
        return rest_a
    if a.dimension.reason and b.dimension.reason:
        return min(rest_a, rest_b)
    if a.dimension.reason or (not b.dimension.reason and rest_b > rest_a):
        (a, rest_a), (b, rest_b) = (b, rest_b), (a, rest_a)  # now `a` is free, and not the shorter one if both are
    if rest_a > rest_b:
        _split(a, rest_b, reason)
        return 0
    if b.dimension.reason:
        a.dimension.reason = b.dimension.reason
        return rest_a
    _merge(a, b, reason)
    return 0


def _at(axis: AxisPieces, start: int) -> tuple[Piece, int]:
    """Return the piece at an element, and how many elements it has from there on."""
    end = 0
    for piece in axis.pieces:
        end += piece.length
        if end > start:
            return piece, end - start
    raise IndexError(start)


def _split(piece: Piece, length: int, reason: str) -> None:
    """Let a dimension be two, the first of so many elements."""
    dimension, each = piece
    if length % each:
        dimension.reason = reason
        return
    parts = (length // each, dimension.size - length // each)
    dimension.consists_of = tuple(Piece(Dimension(size, dimension.name)) for size in parts)


def _merge(a: Piece, b: Piece, reason: str) -> None:
    """Let two dimensions be one, or multiples of one."""
    if a.each == b.each:
        b.dimension.consists_of = (Piece(a.dimension),)
        return
    unit = lcm(a.each, b.each)
    if a.length % unit:
        a.dimension.reason = b.dimension.reason = reason
        return
    common = Dimension(a.length // unit, a.dimension.name)
    for dimension, each in (a, b):
        dimension.consists_of = (Piece(common, unit // each),)


def _in_groups(piece: Piece, size: int) -> bool:
    """Make a free dimension a multiple of a smaller one, so that its channels are whole groups; say if that is so."""
    dimension, each = piece
    if dimension.reason:
        return piece.length % size == 0
    unit = lcm(each, size)
    if piece.length % unit:
        return False
    if unit > each:
        dimension.consists_of = (Piece(Dimension(piece.length // unit, dimension.name), unit // each),)
    return True
