"""One multiplier for all dimensions, and how any multipliers are brought to a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awnlib.budget import fill_budget, rounded_counts, scale_to_budget
from awnlib.models import ModelSpec
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.uniform import Uniform

LENET = ModelSpec(name="lenet_3c1l", input_shape=(1, 16, 16), num_classes=10)
RESNET = ModelSpec(name="resnet18", input_shape=(1, 16, 16), num_classes=10)
FULL = {"a": 10, "b": 20}


def pairs(counts):
    """MACs of a layer between two dimensions, and of one that reads the second."""
    return counts["a"] * counts["b"] + 3 * counts["b"]


def test_unoptimised_network_is_found_at_its_own_macs(shapes):
    for spec in (LENET, RESNET):
        problem = Problem(shapes, spec)
        search = Uniform(problem)
        assert problem.counts(search.at_budget(search.multipliers())) == dict(problem.network.counts)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.5, 4.0])
def test_all_multipliers_are_equal_and_as_large_as_the_budget_allows(shapes, share):
    plain = Problem(shapes, RESNET)
    problem = Problem(shapes, RESNET, int(share * plain.budget))
    multipliers = problem.scale(Uniform(problem).multipliers())
    (factor,) = set(multipliers.values())
    assert 0.97 * problem.budget <= problem.macs(problem.counts(multipliers)) <= problem.budget
    assert problem.macs(problem.counts(dict.fromkeys(multipliers, factor + 1e-9))) > problem.budget


def test_budget_below_one_channel_each_is_refused():
    with pytest.raises(ValueError, match="a budget of 3 MACs is too small"):
        scale_to_budget({"a": 1.0, "b": 1.0}, FULL, pairs, 3)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"input_shape": (3, 16, 16)}, r"input_shape must be \(1, 16, 16\) for shapes, found \(3, 16, 16\)"),
        ({"num_classes": 5}, "num_classes must be 10 for shapes, found 5"),
    ],
)
def test_network_for_other_data_is_refused(shapes, option, message):
    with pytest.raises(ValueError, match=message):
        Problem(shapes, LENET.model_copy(update=option))


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.integers(4, 2000))
def test_scaling_keeps_proportions_and_finds_the_largest_factor(a, b, budget):
    scaled = scale_to_budget({"a": a, "b": b}, FULL, pairs, budget)
    assert scaled["a"] / scaled["b"] == pytest.approx(a / b)
    assert pairs(rounded_counts(scaled, FULL)) <= budget
    assert pairs(rounded_counts({name: 1.0000001 * value for name, value in scaled.items()}, FULL)) > budget


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.integers(4, 2000))
def test_filling_leaves_no_room_for_a_dimension_that_was_rounded_down(a, b, budget):
    scaled = scale_to_budget({"a": a, "b": b}, FULL, pairs, budget)
    counts = fill_budget(scaled, FULL, pairs, budget)
    assert pairs(counts) <= budget
    for name in FULL:
        assert counts[name] >= rounded_counts(scaled, FULL)[name]
        if counts[name] < scaled[name] * FULL[name]:
            assert pairs({**counts, name: counts[name] + 1}) > budget


def test_filling_by_hand():
    """At 1.24 both are rounded down (12.4, 24.8 -> 12, 25 by the rule): 12 * 25 + 75 = 375 of 400; 13 * 25 fits."""
    exact = {"a": 1.24, "b": 1.24}
    assert rounded_counts(exact, FULL) == {"a": 12, "b": 25}
    assert fill_budget(exact, FULL, pairs, 400) == {"a": 13, "b": 25}
    assert fill_budget(exact, FULL, pairs, 399) == {"a": 12, "b": 26}  # more than 1 % were left
    assert fill_budget(exact, FULL, pairs, 376) == {"a": 12, "b": 25}
