"""Layers over axes of several dimensions: what the full layer computes of zeros where channels are cut."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, SlimmableLinear
from awnlib.layers.segments import Segments, axis_of, take
from tests.reference import float64

WIDTHS = [0.25, 0.5, 0.75, 1.0]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        torch.manual_seed(0)
        yield


def three(width_mult):
    """Dimensions of 4 and 3 channels around a fixed one of 2, and one of 8 groups; all at a width."""
    a, b, groups = Channels(4, name="a"), Channels(3, name="b"), Channels(8, name="groups")
    for channels in (a, b, groups):
        channels.set_width_mult(width_mult)
    return Segments([(a, 1), (Channels.of(1), 2), (b, 1)]), Segments([(groups, 1)]), groups


def with_zeros(values, axis, dim=1):
    """The active elements among zeros, `full` of them along a dimension."""
    where = take(torch.arange(axis.full), axis)
    shape = [*values.shape]
    shape[dim] = axis.full
    return torch.zeros(shape).index_copy(dim, where, values)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def check_conv(inputs, outputs, *, size=(2, 9, 7), **options):
    layer = SlimmableConv2d(inputs, outputs, 3, **options)
    plain = nn.Conv2d(axis_of(inputs).full, axis_of(outputs).full, 3, **options)
    plain.load_state_dict(layer.state_dict())
    images = torch.randn(size[0], axis_of(inputs).active, *size[1:])
    expected = take(plain(with_zeros(images, axis_of(inputs))), axis_of(outputs), dim=1)
    close(layer(images), expected)
    return layer


@pytest.mark.parametrize("width_mult", WIDTHS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": (0, 1), "bias": False},
        {"dilation": (1, 2), "padding": "same"},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": (2, 1), "padding_mode": "circular", "dilation": 2},
    ],
    ids=str,
)
def test_convolutions_of_concatenations(width_mult, options):
    concatenation, groups, _ = three(width_mult)
    check_conv(concatenation, groups, **options)
    check_conv(groups, concatenation, **options)
    check_conv(3, concatenation, **options)


@pytest.mark.parametrize("width_mult", WIDTHS)
def test_whole_groups_follow_the_width(width_mult):
    concatenation, _, groups = three(width_mult)
    layer = check_conv(Segments([(groups, 3)]), Segments([(groups, 2)]), groups=8)
    assert layer.active_groups == groups.active
    assert layer.dense_connections() == layer.active_connections() == 2 * groups.active * 3 * 9
    check_conv(Segments([(groups, 4)]), Segments([(groups, 4)]), groups=16, padding=1)  # two groups a channel
    check_conv(concatenation, concatenation, groups=9, padding=1)
    check_conv(concatenation, concatenation.times(2), groups=9)  # a depth multiplier
    check_conv(Segments([(Channels.of(1), 6)]), 4, groups=2)


def test_groups_that_a_narrow_layer_would_cut_are_refused():
    _, axis, groups = three(1.0)
    for inputs, outputs, number in [
        (axis, axis, 4),  # two channels a group, kept one by one
        (Segments([(groups, 2)]), axis, 16),  # half an output a group
        (Segments([(groups, 2)]), Segments([(Channels(8), 2)]), 8),
        (Segments([(groups, 1), (Channels.of(1), 1)]), Segments([(groups, 1), (Channels.of(1), 2)]), 1 + 8),
    ]:
        with pytest.raises(ValueError, match="Segments may hold whole groups"):
            SlimmableConv2d(inputs, outputs, 1, groups=number)


@pytest.mark.parametrize("width_mult", WIDTHS)
def test_linear_layers_of_flattened_concatenations(width_mult):
    concatenation, groups, _ = three(width_mult)
    for layer, inputs in [
        (SlimmableLinear(concatenation.times(5), groups), concatenation.times(5)),
        (SlimmableLinear(concatenation, groups, features_per_channel=5), concatenation.times(5)),
        (SlimmableLinear(concatenation, 4, bias=False), concatenation),
    ]:
        values = torch.randn(2, inputs.active)
        plain = F.linear(with_zeros(values, inputs), layer.weight, layer.bias)
        close(layer(values), take(plain, layer.channels_out, dim=1))
