"""Channels in the proportions of a width vector, at equal MACs."""

import pytest
import torch

from awnlib.model_cost import cost
from awnlib.models import ModelSpec, create_model
from awnlib.training.base_counts import base_counts

LENET = {"name": "lenet_3c1l", "input_shape": (1, 28, 28)}
RESNET = {"name": "resnet18", "input_shape": (3, 32, 32), "base_width_mult": 0.25}


def macs(spec, counts):
    with torch.device("meta"):
        return cost(create_model(**{**spec.model_dump(), "channels": counts})).macs


def proportions(spec, **others):
    return {**dict.fromkeys(create_model(**spec.model_dump()).channels, 1.0), **others}


def test_equal_proportions_are_the_plain_network():
    spec = ModelSpec(**LENET, base_width_mult=2**0.5)
    assert base_counts(proportions(spec), spec) == {"conv1": 45, "conv2": 45, "conv3": 45}


def test_a_common_factor_does_not_matter():
    spec = ModelSpec(**LENET)
    vector = {"conv1": 0.5, "conv2": 1.0, "conv3": 2.0}
    doubled = {name: 2 * multiplier for name, multiplier in vector.items()}
    assert base_counts(vector, spec) == base_counts(doubled, spec)


def test_the_largest_factor_by_brute_force():
    """Rounding leaves a rest in so small a network, which single channels fill up."""
    spec = ModelSpec(**LENET)
    found = base_counts({"conv1": 1.0, "conv2": 1.0, "conv3": 2.0}, spec)
    factors = [step / 500 for step in range(440, 470)]
    candidates = [{"conv1": round(32 * f), "conv2": round(32 * f), "conv3": round(64 * f)} for f in factors]
    largest = [counts for counts in candidates if macs(spec, counts) <= macs(spec, {})][-1]
    assert largest == {"conv1": 29, "conv2": 29, "conv3": 57}
    assert all(largest[name] <= found[name] <= largest[name] + 2 for name in largest)


@pytest.mark.parametrize("layer", ["triangular", "sliced"])
@pytest.mark.parametrize("options", [LENET, RESNET, {**RESNET, "name": "mobilenet_v2", "base_width_mult": 0.1}])
def test_macs_are_those_of_the_plain_network(layer, options):
    spec = ModelSpec(**options, layer=layer)
    names = list(proportions(spec))
    vector = {name: 0.5 + index / len(names) for index, name in enumerate(names)}
    counts = base_counts(vector, spec)
    assert 0.99 * macs(spec, {}) <= macs(spec, counts) <= macs(spec, {})
    assert counts[names[0]] < proportions(spec)[names[0]] * create_model(**spec.model_dump()).channels[names[0]].full


def test_another_network_is_refused():
    spec = ModelSpec(**LENET)
    with pytest.raises(ValueError, match=r"width_vector must name .*conv1, conv2, conv3.*found stage1"):
        base_counts({"stage1": 1.0}, spec)


def test_macs_that_cannot_be_met_are_refused():
    """A hundredfold third layer does not leave the others a channel's worth of precision."""
    spec = ModelSpec(**LENET, base_width_mult=0.1)
    with pytest.raises(ValueError, match=r"further away than 1%"):
        base_counts({"conv1": 1.0, "conv2": 1e-3, "conv3": 1e3}, spec)
