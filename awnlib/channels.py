"""`Channels`: one slimmable dimension of a network.

Every dimension whose size follows the width is one `Channels` object, and layers that must agree (a residual sum, a
depthwise convolution after its expansion) hold the *same* object. Staircase masks, MACs and width vectors all read
it, so that coupling is decided in one place, the model definition.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter

Steps = tuple[tuple[float, int], ...]
ROUNDING = 1e-6
"""Widths no further apart are one width: decimals differ by less in float32, in sums and in even spacings."""


class Channels:
    """A number of channels that follows the width multiplier: always the first `active` of `full`.

    Parameters
    ----------
    full
        Channels at `width_mult` 1.
    min_width_mult
        Smallest width multiplier that `set_width_mult` accepts.
    divisor
        Counts are rounded to the nearest multiple of this, but not below 90 % of the exact value (the code of
        MobileNets, which US-Nets, section 5.2, refers to); with divisor 1 they are simply rounded, halves up.
    min_channels
        No count falls below this (a layer never dies).
    factor
        The counts are this many times those of a dimension of `full / factor` channels with the same divisor: the
        expansion of an inverted residual has six times the channels of its input, at every width.
    fixed
        The count stays `full` at every width: an image's colours, the classes.
    path
        In place of rounding: from which width on there are how many channels, `(width_mult, count)` from width 0 on,
        both rising, up to `full`. Slimming finds one for each dimension (`awnlib.evaluation.slimming`).
    trained
        Widths that were trained or have BN statistics. A width within `ROUNDING` of one of them, of the smallest or of
        1 is that width, so that 0.1 + 0.2 is 0.3.
    name
        The dimension's name in its model and in width vectors.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        full: int,
        *,
        min_width_mult: float = 0.25,
        divisor: int = 1,
        min_channels: int = 1,
        factor: int = 1,
        fixed: bool = False,
        path: Steps = (),
        trained: Sequence[float] = (),
        name: str = "",
    ) -> None:
        if full < 1 or divisor < 1:
            raise ValueError(f"full and divisor must be 1 or more, found {full} and {divisor}")
        if not 1 <= min_channels <= full:
            raise ValueError(f"min_channels must be in [1, {full}], found {min_channels}")
        if factor < 1 or full % factor:
            raise ValueError(f"factor must divide full, found {factor} and {full}")
        if not 0 < min_width_mult <= 1:
            raise ValueError(f"min_width_mult must be in (0, 1], found {min_width_mult}")
        if path and not _is_path(path, full):
            raise ValueError(f"a path must rise from width 0 to {full} channels at a width of at most 1, found {path}")
        self.full = full
        self.min_width_mult = min_width_mult
        self.divisor = divisor
        self.min_channels = min_channels
        self.factor = factor
        self.fixed = fixed
        self.path = path
        self.trained = tuple(trained)
        self.name = name
        self.width_mult = 1.0
        self.active = full
        self.lanes = 1

    @classmethod
    def of(cls, channels: Channels | int) -> Channels:
        """Return `channels` itself, or a fixed dimension for a plain number."""
        return channels if isinstance(channels, Channels) else cls(channels, fixed=True)

    @property
    def padding(self) -> int:
        """How many empty channels a layer adds to the active ones, so that they fill the processor's vectors.

        None unless `lanes` is set above 1: the vector length for which the channels of a full-width pass are padded
        (`awnlib.one_pass`). Empty channels are zero, and in no parameter, statistic or result.
        """
        return -self.active % self.lanes

    def count(self, width_mult: float) -> int:
        """Return the number of channels at a width multiplier; it never falls when the width grows."""
        return self._exact_count(self.snap(width_mult))

    def snap(self, width_mult: float) -> float:
        """Return the trained width, or the end of the range, that a width multiplier is up to rounding, else itself."""
        return snap_width_mult(width_mult, (self.min_width_mult, *self.trained, 1.0))

    def set_width_mult(self, width_mult: float) -> None:
        """Activate the first `count(width_mult)` channels.

        Raises
        ------
        ValueError
            If the width is outside `[min_width_mult, 1]`.
        TypeError
            If it is no number.
        """
        check_width_mult(width_mult, self.min_width_mult)
        self.width_mult = self.snap(width_mult)
        self.active = self._exact_count(self.width_mult)

    @property
    def steps(self) -> Steps:
        """All counts from width 0 to 1 as `(width_mult, count)`: the smallest width that gives each count.

        Exact: below each listed width, by however little, the rule gives less (unless a trained width is that near).
        """
        if self.fixed:
            return ((0.0, self.full),)
        return self.path or tuple((width_mult, self.factor * count) for width_mult, count in _steps(*self._rule))

    def _exact_count(self, width_mult: float) -> int:
        if self.fixed:
            return self.full
        if self.path:
            return self.path[bisect_right(self.path, width_mult, key=itemgetter(0)) - 1][1]
        return self.factor * _count(width_mult, *self._rule)

    @property
    def _rule(self) -> tuple[int, int, int]:
        """Full count, divisor and minimum of the dimension that this one is `factor` times of."""
        return self.full // self.factor, self.divisor, -(-self.min_channels // self.factor)

    def __repr__(self) -> str:
        label = f"{self.name}: " if self.name else ""
        return f"Channels({label}{self.active}/{self.full}{', fixed' if self.fixed else ''})"


def check_width_mult(width_mult: float, min_width_mult: float) -> None:
    """Raise a ValueError if a width multiplier is outside `[min_width_mult, 1]` by more than `ROUNDING`.

    A TypeError if it is no number.
    """
    try:
        inside = min_width_mult - ROUNDING <= width_mult <= 1 + ROUNDING
    except TypeError:
        raise TypeError(f"width_mult must be a number in [{min_width_mult!r}, 1], found {width_mult!r}") from None
    if not inside:
        raise ValueError(f"width_mult must be in [{min_width_mult!r}, 1], found {width_mult!r}")


def check_apart(width_mults: Iterable[float]) -> None:
    """Raise a ValueError that names two widths if they are equal or differ by rounding only (`ROUNDING`)."""
    for narrower, wider in pairwise(sorted(width_mults)):
        if wider - narrower <= ROUNDING:
            raise ValueError(
                f"widths must be different, by more than rounding ({ROUNDING}), found {narrower!r} and {wider!r}"
            )


def snap_width_mult(width_mult: float, known: Sequence[float]) -> float:
    """Return the nearest of the known widths if it is within `ROUNDING`, else the width itself."""
    nearest = min(known, key=lambda candidate: abs(candidate - width_mult), default=width_mult)
    return float(nearest if abs(nearest - width_mult) <= ROUNDING else width_mult)


def evenly_spaced(first: float, last: float, count: int) -> list[float]:
    """Return `count` widths from the first to the last, to 12 decimals: 0.55, not 0.5499999999999999."""
    step = (last - first) / (count - 1) if count > 1 else 0.0
    return [round(first + index * step, 12) for index in range(count)]


def round_channels(exact: float, divisor: int) -> int:
    """Return the multiple of the divisor nearest to `exact`, halves up, but with a divisor not below 90 % of it."""
    count = int(exact + divisor / 2) // divisor * divisor
    return count + divisor if divisor > 1 and count < 0.9 * exact else count


def staircase(in_channels: Channels, out_channels: Channels, *, dense_base: bool = False) -> list[int]:
    """Return for each output channel how many of the first inputs it may read: the rows of a triangular layer.

    Row `s` may read input `t` iff `t < in_channels.count(w_s)`, where `w_s` is the smallest width that keeps row
    `s` (Any-Width Networks, section 4.1, for layers of any shape and any rounding). So whatever the width, a row
    that is active reads only inputs that are active, and always the same ones.

    Parameters
    ----------
    in_channels, out_channels
        The two dimensions of the layer; either may be fixed.
    dense_base
        Let every row that the smallest allowed width keeps read all inputs of that width: more weights, equally
        exact for all allowed widths. By default the staircase begins at the first channel, as in the paper.

    Returns
    -------
    list of int
        `out_channels.full` limits, rising, the last at most `in_channels.full`.
    """
    start = 0.0
    if dense_base or out_channels.fixed:  # a fixed output keeps all its rows at the smallest width already
        start = max((c.min_width_mult for c in (in_channels, out_channels) if not c.fixed), default=0.0)
    limits: list[int] = []
    for width_mult, count in out_channels.steps:
        limits += [in_channels._exact_count(max(width_mult, start))] * (count - len(limits))
    return limits


def _is_path(path: Steps, full: int) -> bool:
    widths, counts = zip(*path, strict=True)
    rising = all(low < high for values in (widths, counts) for low, high in pairwise(values))
    return rising and widths[0] == 0 and widths[-1] <= 1 and counts[0] >= 1 and counts[-1] == full


def _count(width_mult: float, full: int, divisor: int, min_channels: int) -> int:
    if width_mult >= 1:
        return full
    return min(max(round_channels(width_mult * full, divisor), min_channels), full)


@lru_cache(maxsize=4096)
def _steps(full: int, divisor: int, min_channels: int) -> Steps:
    def count(bits: int) -> int:
        return _count(_float_of(bits), full, divisor, min_channels)

    # Positive floats are ordered as their bit patterns are, so a bisection over the bits finds the exact float.
    every_float = range(_bits_of(1.0) + 1)
    steps = [(0.0, count(0))]
    while steps[-1][1] < full:
        bits = bisect_left(every_float, steps[-1][1] + 1, key=count)
        steps.append((_float_of(bits), count(bits)))
    return tuple(steps)


def _bits_of(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits


def _float_of(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value
