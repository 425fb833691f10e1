"""The cosine of width vectors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awnlib.width_transfer.similarity import cosine


def vector(*multipliers):
    return dict(zip("abc", multipliers, strict=False))


def test_by_hand():
    one, other, uniform = vector(1.0, 2.0, 2.0), vector(2.0, 1.0, 2.0), vector(1.0, 1.0, 1.0)
    assert cosine(one, other) == pytest.approx(8 / 9, rel=1e-12)
    assert cosine(one, uniform) == pytest.approx(5 / (3 * math.sqrt(3)), rel=1e-12)
    assert cosine(one, one) == 1


WIDTHS = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)


@given(WIDTHS, WIDTHS, st.floats(0.1, 10))
def test_against_numpy(one, other, factor):
    found = cosine(vector(*one), vector(*other))
    a, b = np.array(one), np.array(other)
    assert found == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)
    assert found == cosine(vector(*other), vector(*one)) <= 1
    assert cosine(vector(*one), vector(*(factor * width for width in one))) == pytest.approx(1, rel=1e-9)


def test_dimensions_are_told_apart_by_name_not_by_place():
    assert cosine({"a": 2.0, "b": 1.0}, {"b": 1.0, "a": 2.0}) == pytest.approx(1)
    assert cosine({"a": 1.0, "b": 2.0}, {"b": 1.0, "a": 2.0}) == pytest.approx(4 / 5)


def test_wrong_use():
    with pytest.raises(ValueError, match="in one of them only: b, c"):
        cosine(vector(1.0, 1.0, 1.0), vector(1.0))
