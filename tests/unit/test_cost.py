"""MACs and parameters, counted by hand and by torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awnlib.model_cost import Cost, cost, output_positions, plain_params, stored_params
from awnlib.models import create_model
from tests.reference import mask_slowly, plain_lenet, small_lenet, staircase_slowly

EIGHT = {"conv1": 8, "conv2": 8, "conv3": 8}


@pytest.mark.parametrize(
    ("options", "width_mult", "expected"),
    [
        # 28x28 images: convolutions at 26x26, 24x24 and 8x8 positions, a classifier on 4x4
        ({"layer": "sliced"}, 1.0, Cost(7_146_624, 7_146_624, 40_426)),
        ({"layer": "sliced"}, 0.5, Cost(1_836_608, 1_836_608, 11_514)),
        # 528 = 32 * 33 / 2 of 1024 channel pairs: 194,688 + 576 * 528 * 9 + 64 * 528 * 25 + 5,120
        ({}, 1.0, Cost(3_781_760, 7_146_624, 288 + 528 * 34 + 5120 + 10 + 192)),
        # 136 = 16 * 17 / 2 of 256 pairs: 97,344 + 576 * 136 * 9 + 64 * 136 * 25 + 2,560
        ({}, 0.5, Cost(1_022_528, 1_836_608, 144 + 136 * 34 + 2560 + 10 + 96)),
        # 4 of 8 channels, 2 at the smallest width: rows read 2, 2, 3 and 4, 11 of 16 pairs
        (
            {"dense_base": True, "channels": EIGHT},
            0.5,
            Cost(24_336 + 11 * 6_784 + 640, 24_336 + 16 * 6_784 + 640, 1084),
        ),
        # 32x32 images in colour: 30x30, 28x28 and 10x10 positions, a classifier on 5x5
        ({"layer": "sliced", "input_shape": (3, 32, 32)}, 1.0, Cost(10_570_944, 10_570_944, 43_882)),
    ],
)
def test_lenet_by_hand(options, width_mult, expected):
    model = create_model("lenet_3c1l", **options)
    model.set_width_mult(width_mult)
    assert cost(model) == expected


@pytest.mark.parametrize("layer", ["triangular", "sliced"])
def test_dense_macs_equal_torchs_flop_counter(layer):
    model = small_lenet(layer=layer, input_shape=(3, 20, 18)).eval()
    for width_mult in model.distinct_width_mults():
        model.set_width_mult(width_mult)
        network = plain_lenet(model)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 20, 18))
        width_cost = cost(model)
        assert counter.get_total_flops() == 2 * width_cost.macs_dense
        if layer == "sliced":
            assert width_cost.macs == width_cost.macs_dense
            assert width_cost.params == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("dense_base", [False, True])
def test_triangular_cost_counts_the_ones_of_the_masks(dense_base):
    model = small_lenet(dense_base=dense_base, min_width_mult=0.4)
    positions = {"conv1": 14 * 14, "conv2": 12 * 12, "conv3": 2 * 2, "classifier": 1}
    for width_mult in model.distinct_width_mults():
        model.set_width_mult(width_mult)
        a, b, c = model.channels.values()
        ones = {"conv1": 9 * a.active, "classifier": 3 * c.active}
        for name, inputs, outputs, size in (("conv2", a, b, 9), ("conv3", b, c, 25)):
            mask = mask_slowly(staircase_slowly(inputs, outputs, dense_base=dense_base), inputs.full)
            ones[name] = size * int(mask[: outputs.active, : inputs.active].sum())
        width_cost = cost(model, positions)
        assert width_cost.macs == sum(positions[name] * ones[name] for name in ones)
        assert width_cost.params == sum(ones.values()) + 3 + 2 * (a.active + b.active + c.active)


def test_a_width_vector_has_a_cost():
    model = small_lenet(layer="sliced")
    model.set_widths({"conv1": 0.4, "conv2": 1.0, "conv3": 0.5})  # 2, 8 and 3 channels
    assert cost(model).macs == 196 * 2 * 9 + 144 * 2 * 8 * 9 + 4 * 8 * 3 * 25 + 3 * 3


@pytest.mark.parametrize("training", [False, True])
def test_positions_depend_on_the_image_only_and_leave_the_model_alone(training):
    model = small_lenet(input_shape=(1, 28, 30)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = {"conv1": 26 * 28, "conv2": 24 * 26, "conv3": 8 * 9, "classifier": 1}
    for width_mult in (0.3, 1.0):
        model.set_width_mult(width_mult)
        assert output_positions(model) == expected
        assert model.channels["conv1"].width_mult == width_mult
    assert model.training is training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_float64_model_has_a_cost():
    assert cost(small_lenet().double()) == cost(small_lenet())


@pytest.mark.parametrize(
    ("options", "norms"),
    [  # 5, 8 and 6 channels are 19; at width 0.5 3 + 4 + 3 are 10
        ({}, 4 * 19),
        ({"norm": "switchable", "switches": [0.5, 1.0]}, 4 * 19 + 4 * 10),
        ({"norm": "switchable", "switches": [0.5, 1.0], "affine": "shared"}, 2 * 19 + 2 * 19 + 2 * 10),
    ],
)
def test_stored_numbers_by_hand(options, norms):
    sliced = small_lenet(layer="sliced", **options)
    weights = 5 * 9 + 5 * 8 * 9 + 8 * 6 * 25 + 6 * 3 + 3
    for width_mult in (0.5, 1.0):  # whatever the active width
        sliced.set_width_mult(width_mult)
        assert stored_params(sliced) == weights + norms
        assert plain_params(sliced) == weights + 4 * 19
    tensors = [value for value in sliced.state_dict().values() if value.ndim > 0]  # all but the batch counters
    assert stored_params(sliced) == sum(value.numel() for value in tensors)


def test_stored_numbers_do_not_count_zeros_above_the_staircase():
    model = small_lenet()
    nonzero = sum(int(torch.count_nonzero(layer.weight)) for layer in (model.conv1, model.conv2, model.conv3))
    assert stored_params(model) == plain_params(model) == nonzero + 6 * 3 + 3 + 4 * 19


def test_counting_stored_numbers_leaves_the_width():
    model = small_lenet()
    model.set_width_mult(0.5)
    stored_params(model)
    plain_params(model)
    assert [c.active for c in model.channels.values()] == [3, 4, 3]
