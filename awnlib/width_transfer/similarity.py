r"""How alike width vectors are: the cosine of the angle between their multipliers.

$$ \cos(w, w') = \frac{\sum_i w_i w'_i}{\lVert w \rVert \lVert w' \rVert} $$

It does not depend on a common factor, so vectors for networks of different width can be compared. All multipliers are
positive, so it is far above 0 for any two vectors: the cosine with the un-optimised, *uniform* network is the floor to
compare with (Width Transfer, appendix D and table 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from awnlib.width_transfer.vector import WidthVector

UNIFORM = "uniform"
"""The name of the un-optimised network in a table: the same multiplier for all dimensions."""


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


def similarity_table(vectors: Mapping[str, WidthVector]) -> pd.DataFrame:
    """Return the cosine similarity of all pairs, the uniform vector first.

    Parameters
    ----------
    vectors
        By a name of your choice, all of the same dimensions.

    Returns
    -------
    DataFrame
        Square and symmetric, 1 on the diagonal; rows and columns are "uniform" and the names.

    Raises
    ------
    ValueError
        If there is no vector, one is called "uniform", or they are for networks of other names or dimensions.
    """
    if not vectors or UNIFORM in vectors:
        raise ValueError(f"vectors must be one or more, none of them called '{UNIFORM}', found {', '.join(vectors)}")
    models = sorted({vector.network.name for vector in vectors.values()})
    if len(models) > 1:
        raise ValueError(f"only width vectors of one model can be compared, found {', '.join(models)}")
    first = next(iter(vectors.values()))
    rows = {UNIFORM: dict.fromkeys(first.multipliers, 1.0)}
    rows |= {name: vector.multipliers for name, vector in vectors.items()}
    return pd.DataFrame({name: {other: cosine(rows[name], rows[other]) for other in rows} for name in rows})
