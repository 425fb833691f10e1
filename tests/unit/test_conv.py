"""Sliced and triangular convolutions against explicit loops and `torch.nn.Conv2d`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, TriangularConv2d
from tests.reference import conv2d_slowly, float64, mask_slowly, plain_conv, staircase_slowly

WIDTHS = [0.25, 0.4, 0.6, 1.0]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def set_width(width_mult, *dimensions):
    for channels in dimensions:
        channels.set_width_mult(width_mult)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def masked_conv(layer, a, b, *, dense_base=False):
    """`nn.Conv2d` with the weights of the active block, those above the staircase zero."""
    conv = plain_conv(layer)
    mask = mask_slowly(staircase_slowly(a, b, dense_base=dense_base), a.full)[: b.active, : a.active, None, None]
    conv.weight.data *= mask
    return conv, mask


@pytest.mark.parametrize("width_mult", WIDTHS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_both_layers_equal_explicit_loops(width_mult, stride, padding):
    torch.manual_seed(0)
    a, b = Channels(5), Channels(7)
    set_width(width_mult, a, b)
    images = torch.randn(2, a.active, 5, 6)
    for kind in (SlimmableConv2d, TriangularConv2d):
        layer = kind(a, b, 3, stride=stride, padding=padding)
        weight = layer.weight.detach()
        if kind is TriangularConv2d:
            weight = weight * mask_slowly(staircase_slowly(a, b), 5)[:, :, None, None]
        weight = weight[: b.active, : a.active]
        expected = conv2d_slowly(images, weight, layer.bias.detach()[: b.active], stride=stride, padding=padding)
        close(layer(images).detach(), expected)


@pytest.mark.parametrize("width_mult", WIDTHS)
@pytest.mark.parametrize("bias", [True, False])
def test_averages_are_sums_times_full_over_active_inputs(width_mult, bias):
    """US-Nets, section 6; the bias is no input."""
    a, b = Channels(5), Channels(7)
    layer = SlimmableConv2d(a, b, 3, bias=bias, average_inputs=True)
    plain = SlimmableConv2d(a, b, 3, bias=bias)
    plain.load_state_dict(layer.state_dict())
    set_width(width_mult, a, b)
    images = torch.randn(2, a.active, 6, 6)
    shift = layer.bias[: b.active, None, None] if bias else 0.0
    expected = (plain(images) - shift) * (5 / a.active) + shift
    close(layer(images), expected)
    layer(images).square().sum().backward()
    expected.square().sum().backward()
    close(layer.weight.grad, plain.weight.grad)
    close(layer.active_weight(), plain.active_weight() * 5 / a.active)
    assert torch.equal(layer(images), plain(images)) == (width_mult == 1.0)
    assert layer.active_connections() == plain.active_connections()


def test_what_reads_the_same_inputs_at_every_width_is_not_averaged():
    b = Channels(6)
    for inputs, groups in ((3, 1), (b, 6)):
        layer = SlimmableConv2d(inputs, b, 3, groups=groups, average_inputs=True)
        plain = SlimmableConv2d(inputs, b, 3, groups=groups)
        plain.load_state_dict(layer.state_dict())
        set_width(0.5, b)
        images = torch.randn(2, 3, 6, 6)
        assert torch.equal(layer(images), plain(images))
        set_width(1.0, b)


def test_a_norm_takes_the_average_out_again():
    a, b = Channels(8), Channels(8)
    sums, means = (SlimmableConv2d(a, b, 3, bias=False, average_inputs=average) for average in (False, True))
    means.load_state_dict(sums.state_dict())
    set_width(0.25, a, b)
    images = torch.randn(4, a.active, 6, 6)
    norm = nn.BatchNorm2d(b.active, eps=1e-15)
    close(norm(means(images)), norm(sums(images)))


@pytest.mark.parametrize("bias", [True, False])
def test_sliced_at_full_width_is_the_plain_layer(bias):
    a, b = Channels(4), Channels(6)
    layer, plain = SlimmableConv2d(a, b, 3, stride=2, padding=1, bias=bias), nn.Conv2d(4, 6, 3, 2, 1, bias=bias)
    plain.load_state_dict(layer.state_dict())
    images = torch.randn(2, 4, 7, 7)
    assert torch.equal(layer(images), plain(images))


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from(WIDTHS),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_outputs_and_gradients_equal_the_cut_out_layer(ins, outs, divisor, width_mult, kernel_size, triangular, seed):
    torch.manual_seed(seed)
    a, b = Channels(ins, divisor=divisor), Channels(outs, divisor=divisor)
    layer = (TriangularConv2d if triangular else SlimmableConv2d)(a, b, kernel_size, padding=1)
    set_width(width_mult, a, b)
    plain, mask = masked_conv(layer, a, b) if triangular else (plain_conv(layer), 1)
    images = torch.randn(2, a.active, 4, 4, requires_grad=True)
    copies = images.detach().clone().requires_grad_()
    output, expected = layer(images), plain(copies)
    direction = torch.randn_like(expected)
    (output * direction).sum().backward()
    (expected * direction).sum().backward()
    close(output, expected)
    close(images.grad, copies.grad)
    weight_grad, bias_grad = torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)
    weight_grad[: b.active, : a.active] = plain.weight.grad * mask
    bias_grad[: b.active] = plain.bias.grad
    close(layer.weight.grad, weight_grad)
    close(layer.bias.grad, bias_grad)


@pytest.mark.parametrize("kind", [SlimmableConv2d, TriangularConv2d])
@pytest.mark.parametrize("width_mult", WIDTHS)
def test_depthwise_convolves_each_channel_alone(kind, width_mult):
    channels = Channels(6)
    layer = kind(channels, channels, 3, padding=1, groups=6)
    set_width(width_mult, channels)
    images = torch.randn(2, channels.active, 5, 5)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    alone = [conv2d_slowly(images[:, [c]], weight[[c]], bias[[c]], padding=1) for c in range(channels.active)]
    close(layer(images).detach(), torch.cat(alone, dim=1))
    assert layer.active_connections() == channels.active * 9


@pytest.mark.parametrize("dense_base", [False, True])
def test_weights_above_the_staircase_stay_exactly_zero(dense_base):
    torch.manual_seed(0)
    a, b = Channels(6, min_width_mult=0.4), Channels(9, min_width_mult=0.4)
    layer = TriangularConv2d(a, b, 3, dense_base=dense_base)
    above = mask_slowly(staircase_slowly(a, b, dense_base=dense_base), 6) == 0
    assert 0 < above.sum() < above.numel()
    before = layer.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    for width_mult in (1.0, 0.5, 0.7, 1.0):
        set_width(width_mult, a, b)
        optimizer.zero_grad()
        layer(torch.randn(2, a.active, 5, 5)).square().sum().backward()
        assert torch.count_nonzero(layer.weight.grad[above]) == 0
        optimizer.step()
        assert torch.count_nonzero(layer.weight[above]) == 0
    assert bool((layer.weight != before)[~above].all())


@pytest.mark.parametrize("width_mult", WIDTHS)
def test_connections_are_the_nonzero_weights(width_mult):
    a, b = Channels(7), Channels(10, divisor=3)
    triangular, sliced = TriangularConv2d(a, b, 3), SlimmableConv2d(a, b, 3)
    set_width(width_mult, a, b)
    mask = mask_slowly(staircase_slowly(a, b), 7)[: b.active, : a.active]
    assert triangular.active_connections() == 9 * int(mask.sum())
    assert sliced.active_connections() == 9 * a.active * b.active


def test_a_row_reads_what_is_active_of_its_inputs_when_widths_differ():
    a, b = Channels(6), Channels(6)
    layer = TriangularConv2d(a, b, 1)
    a.set_width_mult(0.5)  # the rows from the fourth on may read more inputs than there are
    mask = mask_slowly(staircase_slowly(a, b), 6)[:, :3, None, None]
    images = torch.randn(2, 3, 4, 4)
    close(layer(images), nn.functional.conv2d(images, layer.weight[:, :3] * mask, layer.bias))
    assert layer.active_connections() == int(mask.sum()) == 1 + 2 + 3 * 4


def test_masks_are_in_no_checkpoint():
    assert set(TriangularConv2d(Channels(4), Channels(4), 3).state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("kind", [SlimmableConv2d, TriangularConv2d])
def test_other_groupings_are_refused(kind):
    channels = Channels(6)
    with pytest.raises(
        ValueError, match="groups must be 1, or 6 with one Channels object for input and output, found 2"
    ):
        kind(channels, channels, 3, groups=2)
    with pytest.raises(ValueError, match="one Channels object"):
        kind(channels, Channels(6), 3, groups=6)
