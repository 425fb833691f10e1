"""The cosine of width vectors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awnlib.width_transfer.similarity import cosine, similarity_table
from awnlib.width_transfer.vector import Network, WidthVector

COUNTS = {"conv1": 32, "conv2": 32, "conv3": 32}


def vector(*multipliers, counts=COUNTS, name="lenet_3c1l"):
    return WidthVector(
        network=Network(name=name, counts=counts), multipliers=dict(zip(counts, multipliers, strict=True))
    )


def test_by_hand():
    assert cosine({"a": 1.0, "b": 2.0}, {"b": 1.0, "a": 2.0}) == pytest.approx(4 / 5)
    table = similarity_table({"one": vector(1.0, 2.0, 2.0), "other": vector(2.0, 1.0, 2.0)})
    assert list(table.index) == list(table.columns) == ["uniform", "one", "other"]
    floor = 5 / (3 * math.sqrt(3))
    expected = [[1, floor, floor], [floor, 1, 8 / 9], [floor, 8 / 9, 1]]
    np.testing.assert_allclose(table.to_numpy(), expected, rtol=1e-12)


WIDTHS = st.lists(st.floats(0.01, 10), min_size=3, max_size=3)


@given(WIDTHS, WIDTHS, st.floats(0.1, 10))
def test_against_numpy(one, other, factor):
    found = similarity_table(
        {"one": vector(*one), "other": vector(*other), "scaled": vector(*(factor * w for w in one))}
    )
    a, b = np.array(one), np.array(other)
    assert found.loc["one", "other"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)
    assert found.loc["one", "scaled"] == pytest.approx(1, rel=1e-9)
    np.testing.assert_array_equal(found.to_numpy(), found.to_numpy().T)
    assert found.to_numpy().max() <= 1


def test_networks_of_another_width_can_be_compared():
    wide = vector(1.0, 2.0, 2.0, counts={"conv3": 90, "conv1": 50, "conv2": 60})
    table = similarity_table({"plain": vector(2.0, 2.0, 1.0), "wide": wide})
    assert table.loc["plain", "wide"] == pytest.approx(1.0)  # by name, not by place


def test_wrong_use():
    shallow = Network(name="lenet_3c1l", counts={"conv1": 32})
    short = WidthVector(network=shallow, multipliers={"conv1": 1.0})
    with pytest.raises(ValueError, match="in one of them only: conv2, conv3"):
        similarity_table({"one": vector(1.0, 1.0, 1.0), "short": short})
    with pytest.raises(ValueError, match="only width vectors of one model can be compared, found lenet_3c1l, resnet18"):
        similarity_table({"one": vector(1.0, 1.0, 1.0), "other": vector(1.0, 1.0, 1.0, name="resnet18")})
    for vectors in ({}, {"uniform": short}):
        with pytest.raises(ValueError, match="none of them called 'uniform'"):
            similarity_table(vectors)
