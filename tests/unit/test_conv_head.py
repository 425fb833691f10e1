"""A convolution as a head: the outputs of all widths against a convolution for each."""

import pytest
import torch
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import ConvHead, SlimmableConv2d, weight_norm
from tests.reference import float64

COUNTS = [5, 2, 8, 2]


@pytest.fixture(autouse=True)
def _float64():
    with float64():
        yield


def head_and_input(bias=True):
    torch.manual_seed(0)
    head = ConvHead(Channels(8), 3, 3, padding=1, bias=bias)
    return head, torch.randn(2, 8, 5, 6)


def separately(head, features, count):
    return F.conv2d(features[:, :count], head.weight[:, :count], head.bias, padding=1)


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_of_all_widths_are_those_of_each(bias):
    head, features = head_and_input(bias)
    expected = torch.stack([separately(head, features, count) for count in COUNTS])
    torch.testing.assert_close(head.prefix_outputs(features, torch.tensor(COUNTS)), expected)
    rising = sorted(COUNTS)
    expected = torch.stack([separately(head, features, count) for count in rising])
    torch.testing.assert_close(torch.stack(list(head.running_outputs(features, rising))), expected)


def test_empty_channels_behind_the_active_ones_do_not_count():
    head, features = head_and_input()
    head.channels_in.set_width_mult(0.5)
    padded = torch.cat([features[:, :4], torch.full((2, 3, 5, 6), 9.0)], dim=1)
    found = head.prefix_outputs(padded, torch.tensor([4, 2]))
    torch.testing.assert_close(found, torch.stack([separately(head, features, count) for count in (4, 2)]))


def test_a_head_has_the_same_outputs_at_every_width():
    for head in (ConvHead(Channels(8), Channels(3), 3), ConvHead(Channels(8), 3, 3, average_inputs=True)):
        with pytest.raises(ValueError, match="the outputs of a head must be fixed, and sums over its inputs, found"):
            head.prefix_outputs(torch.randn(1, 8, 5, 5), torch.tensor([2]))
        with pytest.raises(ValueError, match="must be fixed"):
            next(head.running_outputs(torch.randn(1, 8, 5, 5), [2]))


@pytest.mark.parametrize("width_mult", [1.0, 0.5])
def test_rows_are_normalised_over_all_inputs_and_then_sliced(width_mult):
    layer = weight_norm(SlimmableConv2d(Channels(8), Channels(6), 3))
    direction, scale = layer.parametrizations.weight.original1, layer.parametrizations.weight.original0
    with torch.no_grad():
        direction.copy_(torch.randn_like(direction))
        scale.copy_(torch.rand_like(scale))
    for channels in (layer.channels_in, layer.channels_out):
        channels.set_width_mult(width_mult)
    expected = torch.stack([g * v / v.square().sum().sqrt() for g, v in zip(scale, direction, strict=True)])
    rows, columns = layer.channels_out.active, layer.channels_in.active
    torch.testing.assert_close(layer.active_weight(), expected[:rows, :columns])
