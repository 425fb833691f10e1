r"""How alike width vectors are: the cosine of the angle between their multipliers.

$$ \cos(w, w') = \frac{\sum_i w_i w'_i}{\lVert w \rVert \lVert w' \rVert} $$

It does not depend on a common factor, so vectors for networks of different width can be compared. All multipliers are
positive, so it is far above 0 for any two vectors: the cosine with the un-optimised, *uniform* network is the floor to
compare with (Width Transfer, appendix D and table 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the cosine similarity of two sets of multipliers, in (0, 1].

    Raises
    ------
    ValueError
        If they do not name the same dimensions; extrapolate the shallower one first.
    """
    if set(one) != set(other):
        differ = ", ".join(sorted(set(one) ^ set(other)))
        raise ValueError(f"only width vectors of the same dimensions can be compared; in one of them only: {differ}")
    product = math.fsum(one[name] * other[name] for name in one)
    return min(1.0, product / (math.hypot(*one.values()) * math.hypot(*other.values())))
