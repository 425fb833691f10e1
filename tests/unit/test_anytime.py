"""Widening step by step against the model at each width."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.model_cost import cost
from tests.reference import float64, small_lenet
from tests.unit.test_extract import SmallResidual, small_residual

WIDTHS = [0.25, 0.5, 0.75, 1.0]
MODELS = pytest.mark.parametrize("make", [small_lenet, small_residual])


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def images_of(model, size=3, seed=1):
    return torch.randn(size, *model.spec.input_shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def cold(model, images, width_mult):
    model.eval().set_width_mult(width_mult)
    return model(images)


def check(model, network, images, widths, rtol=1e-12):
    network.start(images)
    for width_mult in widths:
        expected = cold(model, images, width_mult)
        torch.testing.assert_close(network.logits(width_mult), expected, rtol=rtol, atol=rtol)


def macs_of(network, width_mult):
    """What the next answer really computes, for all images."""
    with FlopCounterMode(display=False) as counter:
        network.logits(width_mult)
    return counter.get_total_flops() / 2


@given(
    st.lists(st.floats(0.25, 1), min_size=1, max_size=6),
    st.lists(st.integers(1, 20), min_size=3, max_size=3),
    st.sampled_from([1, 3, 8]),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_any_widths_in_any_order(widths, counts, divisor, residual):
    make, names = (small_residual, SmallResidual.NAMES) if residual else (small_lenet, ("conv1", "conv2", "conv3"))
    model = make(channels=dict(zip(names, counts, strict=True)), divisor=divisor)
    check(model, AnytimeNetwork(model), images_of(model), widths)


def test_steps_in_which_some_layers_or_all_gain_nothing():
    model = small_residual(divisor=8, channels={"stem": 8, "hidden": 48, "last": 16})
    counts = [[c.count(width) for c in model.channels.values()] for width in (0.25, 0.5, 0.51, 0.75, 1.0)]
    assert counts == [[8, 16, 8], [8, 24, 8], [8, 24, 8], [8, 40, 16], [8, 48, 16]]
    network = AnytimeNetwork(model)
    check(model, network, images_of(model), [0.25, 0.5, 0.51, 0.75, 0.75, 1.0])
    assert network.macs(0.5, 0.51) == 0
    assert network.macs(0.25, 0.5) > 0


@MODELS
@pytest.mark.parametrize("divisor", [1, 4])
def test_only_what_is_new_is_computed(make, divisor):
    model = make(divisor=divisor)
    network = AnytimeNetwork(model)
    images = images_of(model)
    network.start(images)
    for before, after in zip([0, *WIDTHS], WIDTHS, strict=False):
        assert macs_of(network, after) == len(images) * network.macs(before, after)
        assert macs_of(network, after) == 0
    separate = 0
    for width_mult in WIDTHS:
        assert macs_of(network, width_mult) == 0  # narrower, and answered before
        model.set_width_mult(width_mult)
        assert cost(model).macs <= network.macs(0, width_mult) <= cost(model).macs_dense
        separate += cost(model).macs_dense
    chain = sum(network.macs(before, after) for before, after in zip([0, *WIDTHS], WIDTHS, strict=False))
    assert cost(model).macs <= chain < 0.6 * separate
    assert chain < cost(model).macs_dense
    assert network.macs(0.75, 0.5) == 0
    count = model.classifier.channels_in.count
    answered = {count(width_mult) for width_mult in WIDTHS}
    features = 0 if count(0.4) in answered else count(0.4) - count(0.25)
    area, classes = model.classifier.features_per_channel, model.spec.num_classes
    assert macs_of(network, 0.4) == len(images) * features * area * classes


def test_answers_and_model_are_the_users():
    model = small_lenet()
    model.set_width_mult(0.6)
    before = copy.deepcopy(model.state_dict())
    network, images = AnytimeNetwork(model), images_of(model)
    network.start(images)
    expected = network.logits(0.5).clone()
    network.logits(0.5).zero_()
    assert torch.equal(network.logits(0.5), expected)
    assert not network.logits(0.5).requires_grad
    assert model.training
    assert model.channels["conv1"].width_mult == 0.6
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    with torch.no_grad():
        model.conv1.weight.zero_()
    network.start(images)
    assert torch.equal(network.logits(0.5), expected)


@pytest.mark.parametrize("options", [{"layer": "sliced"}, {"norm": "switchable"}], ids=str)
def test_networks_whose_features_depend_on_the_width_are_refused(options):
    with pytest.raises(ValueError, match="needs triangular layers and shared norms"):
        AnytimeNetwork(small_lenet(**options))


class Mixing(SmallResidual):
    def first(self, images):
        return F.softmax(self.stem(images), dim=1)


class NormFirst(SmallResidual):
    def first(self, images):
        conv, norm = self.stem
        return norm(F.relu(conv(images)))


def test_networks_that_cannot_be_widened_are_refused():
    with pytest.raises(ValueError, match="does not know whether softmax works channel by channel"):
        AnytimeNetwork(small_residual(Mixing))
    with pytest.raises(ValueError, match=r"stem\.1 cannot be folded"):
        AnytimeNetwork(small_residual(NormFirst))


def test_wrong_use():
    model = small_lenet()
    network = AnytimeNetwork(model)
    with pytest.raises(RuntimeError, match=r"call start\(images\) first"):
        network.logits(0.5)
    with pytest.raises(ValueError, match=r"images must be \[N, 1, 16, 16\], found \[1, 16, 16\]"):
        network.start(images_of(model)[0])
    network.start(images_of(model))
    for wrong in (0.0, 0.2, 1.1):
        with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\]"):
            network.logits(wrong)
        with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\]"):
            network.macs(0, wrong)
    with pytest.raises(ValueError, match=r"found 0\.1"):
        network.macs(0.1, 0.5)
