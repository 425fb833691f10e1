"""Stacking by hand, and MACs that match."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from awnlib.model_cost import cost
from awnlib.models import create_model, create_structure
from awnlib.width_transfer.costs import layer_costs, total_macs
from awnlib.width_transfer.extrapolation import (
    extrapolate,
    match_macs,
    stack_average_block,
    stack_last_block,
)
from awnlib.width_transfer.vector import Network, WidthVector

SOURCE = ((("a1",), ("a2",), ("a3",)), (("b1", "b2"),))
TARGET = ((("t1",), ("t2",), ("t3",), ("t4",), ("t5",)), (("u1", "u2"), ("u3", "u4")))
MULTIPLIERS = {"trunk": 0.9, "a1": 3.0, "a2": 0.5, "a3": 0.7, "b1": 2.0, "b2": 4.0}
STACKS = pytest.mark.parametrize("stack", [stack_last_block, stack_average_block])


def network(name="resnet18", **options):
    options = {"layer": "sliced", "slim_last": True, "input_shape": (3, 40, 40), "base_width_mult": 0.5, **options}
    return create_model(name, **options)


def vector_of(model, multiplier=1.0, **others):
    return WidthVector(network=Network.of(model), multipliers={**dict.fromkeys(model.channels, multiplier), **others})


def test_stack_last_block_by_hand():
    assert stack_last_block(MULTIPLIERS, SOURCE, TARGET) == {
        "trunk": 0.9,
        **{f"t{number}": value for number, value in enumerate((3.0, 0.5, 0.7, 0.7, 0.7), start=1)},
        **{f"u{number}": value for number, value in enumerate((2.0, 4.0, 2.0, 4.0), start=1)},
    }


def test_stack_average_block_by_hand():
    """The first block is left out of the mean, and repeated where it is the only one."""
    assert stack_average_block(MULTIPLIERS, SOURCE, TARGET) == pytest.approx(
        {
            "trunk": 0.9,
            **{f"t{number}": value for number, value in enumerate((3.0, 0.5, 0.7, 0.6, 0.6), start=1)},
            **{f"u{number}": value for number, value in enumerate((2.0, 4.0, 2.0, 4.0), start=1)},
        }
    )


@STACKS
def test_the_same_depth_changes_nothing(stack):
    assert stack(MULTIPLIERS, SOURCE, SOURCE) == MULTIPLIERS
    assert stack({"conv1": 0.5}, (), ()) == {"conv1": 0.5}


@STACKS
def test_fewer_blocks_or_stages_are_refused(stack):
    fewer = (TARGET[0][:2], TARGET[1])
    with pytest.raises(ValueError, match="stage 1 has 3 blocks, but 2 in the target: extrapolation adds blocks"):
        stack(MULTIPLIERS, SOURCE, fewer)
    with pytest.raises(ValueError, match="widths of 2 stages cannot be used for 1 stages"):
        stack(MULTIPLIERS, SOURCE, TARGET[:1])


@STACKS
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "mobilenet_v1", "resnet50"])
@pytest.mark.parametrize("depth_mult", [1, 2, 3])
def test_uniform_widths_stay_uniform(stack, name, depth_mult):
    """Width Transfer, section 3.3: both give the same for un-optimised widths."""
    shallow, deep = (create_structure(name, base_width_mult=0.1, depth_mult=depth) for depth in (1, depth_mult))
    stacked = stack(dict.fromkeys(shallow.channels, 1.3), shallow.stage_blocks, deep.stage_blocks)
    assert stacked == dict.fromkeys(deep.channels, 1.3)


def test_a_deeper_resnet_by_hand():
    model, deep = network(), network(depth_mult=2)
    vector = vector_of(model, stage1=1.1, inner1=2.0, inner2=0.5, inner7=0.4, inner8=0.9)
    target = total_macs(layer_costs(deep), lambda channels: channels.full)
    for stacking in ("average_block", "last_block"):  # two blocks in a stage: the average of one is the last
        match = extrapolate(vector, deep, stacking=stacking)
        found = match.vector.counts
        expected = dict.fromkeys(deep.channels, 1.0) | {"stage1": 1.1, "inner1": 2.0}
        expected |= {"inner2": 0.5, "inner3": 0.5, "inner4": 0.5}
        expected |= {"inner13": 0.4, "inner14": 0.9, "inner15": 0.9, "inner16": 0.9}
        exact = {name: match.alpha * expected[name] * channels.full for name, channels in deep.channels.items()}
        assert found == pytest.approx(exact, abs=1)
        assert match.target_macs == target
        assert match.vector.provenance["extrapolation"]["stacking"] == stacking
        assert match.vector.provenance["extrapolation"]["from"] == vector.network.model_dump()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@given(st.data())
@settings(deadline=None, max_examples=8)
def test_macs_match_and_one_factor_was_used(name, data):
    model = MODELS[name]
    vector = vector_of(model, **{name: data.draw(st.floats(0.3, 3.0)) for name in model.channels})
    vector = vector.model_copy(update={"provenance": {"seed": 4}})
    match = extrapolate(vector, model)
    assert abs(match.relative_error) <= 0.01
    assert match.macs <= match.target_macs == cost(model).macs
    built = match.vector.build(model.spec.num_classes, model.spec.input_shape)
    assert cost(built).macs == match.macs
    for channel, count in match.vector.counts.items():
        exact = match.alpha * vector.multipliers[channel] * model.channels[channel].full
        assert abs(count - max(exact, 1)) <= 1.5
    assert match.vector.provenance["seed"] == 4
    assert match.vector.provenance["extrapolation"]["relative_error"] == match.relative_error


MODELS = {name: network(name) for name in ("resnet18", "mobilenet_v2")}


def test_a_common_factor_makes_no_difference():
    one, other = (extrapolate(vector_of(MODELS["resnet18"], 0.5 * f, stage4=f), network()) for f in (1.0, 0.3))
    assert one.vector.counts == other.vector.counts
    assert one.alpha == pytest.approx(0.3 * other.alpha)


def test_the_uniform_vector_is_the_network():
    model = network()
    match = extrapolate(vector_of(model, 0.7), model)
    assert match.vector.counts == Network.of(model).counts
    assert match.relative_error == 0


def test_two_layers_by_hand():
    """26x26 positions of a 3x3 convolution of one colour, 24x24 and 8x8 of the next two, 16 features and 10 classes."""
    model = create_model("lenet_3c1l", layer="sliced", channels={"conv1": 4, "conv2": 4, "conv3": 4})

    def macs(a, b, c):
        return 26 * 26 * 9 * a + 24 * 24 * 9 * a * b + 8 * 8 * 25 * b * c + 16 * c * 10

    match = match_macs({"conv1": 1.0, "conv2": 2.0, "conv3": 0.5}, model, macs(4, 8, 2))
    assert match.vector.counts == {"conv1": 4, "conv2": 8, "conv3": 2}
    assert (match.macs, match.relative_error) == (macs(4, 8, 2), 0.0)
    between = (macs(4, 8, 2) + macs(4, 9, 2)) // 2
    with pytest.raises(ValueError, match=f"the closest MACs to {between:,} that one factor gives are .*at most 1 %"):
        match_macs({"conv1": 1.0, "conv2": 2.0, "conv3": 0.5}, model, between)
    loose = match_macs({"conv1": 1.0, "conv2": 2.0, "conv3": 0.5}, model, between, tolerance=0.1)
    assert loose.macs == macs(4, 8, 2)
    assert loose.relative_error == macs(4, 8, 2) / between - 1 < -0.01


def test_wrong_use():
    model, deep = network(), network(depth_mult=2)
    with pytest.raises(ValueError, match="stage 1 has 4 blocks, but 2 in the target"):
        extrapolate(vector_of(deep), model)
    with pytest.raises(ValueError, match=r"resnet18 \(depth_mult 1\) cannot be used for mobilenet_v2"):
        extrapolate(vector_of(model), network("mobilenet_v2"))
    with pytest.raises(ValueError, match=r"need sliced layers, found the triangular stem\.conv"):
        extrapolate(vector_of(model), network(layer="triangular"))
    with pytest.raises(ValueError, match="too small for one channel in each dimension"):
        extrapolate(vector_of(model), model, target_macs=100)
    with pytest.raises(ValueError, match=r"a mapping of multipliers does not fit .*missing inner1"):
        match_macs({"stage1": 1.0}, model, 10**6)
    for options in ({"target_macs": 0}, {"target_macs": 10, "tolerance": -0.1}):
        with pytest.raises(ValueError, match="target_macs must be 1 or more and tolerance in"):
            match_macs(vector_of(model).multipliers, model, **options)
