"""Strided 1x1 convolutions, which some kernels of oneDNN do not compute safely."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, TriangularConv2d
from awnlib.layers.skip_zeros import block_conv2d
from awnlib.layers.strided import convolve, is_strided_1x1, read_pixels

STRIDES = [(2, 2), (3, 3), (1, 2), (3, 2)]


@pytest.fixture
def strides(monkeypatch):
    """Notes with which kernel and stride torch is asked to convolve."""
    seen, conv2d = [], F.conv2d

    def note(input, weight, bias, stride, *args, **options):
        seen.append((tuple(weight.shape[2:]), tuple(stride)))
        return conv2d(input, weight, bias, stride, *args, **options)

    monkeypatch.setattr(F, "conv2d", note)
    return seen


def gradients(output, *tensors):
    direction = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(0))
    return [output, *torch.autograd.grad(output, tensors, direction)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 5])
def test_outputs_and_gradients_are_exactly_those_of_the_strided_convolution(layout, groups):
    for stride, height, width in itertools.product(STRIDES, (1, 4, 7), (2, 5)):
        layer = nn.Conv2d(5, 5, 1, stride, groups=groups, dtype=torch.float64)
        images = torch.randn(2, 5, height, width, dtype=torch.float64).to(memory_format=layout).requires_grad_()
        found = gradients(convolve(layer, images, layer.weight, layer.bias, groups), images, *layer.parameters())
        expected = gradients(layer(images), images, *layer.parameters())
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "found"),
    [
        ((1, 1), (2, 2), (0, 0), True),
        ((1, 1), (1, 2), (0, 0), True),
        ((1, 1), (1, 1), (0, 0), False),
        ((1, 1), (2, 2), (1, 0), False),
        ((1, 3), (2, 2), (0, 0), False),
        ((3, 3), (2, 2), (1, 1), False),
    ],
)
def test_which_convolutions_they_are(kernel_size, stride, padding, found):
    assert is_strided_1x1(kernel_size, stride, padding) is found


def test_other_devices_keep_their_kernels():
    images = torch.empty(2, 3, 8, 8, device="meta")
    assert read_pixels(images, (1, 1), (2, 2), (0, 0)) == (images, (2, 2))


def test_no_layer_asks_for_a_strided_1x1_kernel(strides):
    a, b = Channels(6), Channels(9)
    for layer in (
        SlimmableConv2d(a, b, 1, stride=2),
        TriangularConv2d(a, b, 1, stride=2),
        SlimmableConv2d(a, a, 1, stride=2, groups=6),
    ):
        assert layer(torch.randn(2, 6, 8, 8)).shape[2:] == (4, 4)
    block_conv2d(torch.randn(2, 6, 8, 8), torch.randn(9, 6, 1, 1), None, [(0, 9, 6)], (2, 2), (0, 0))
    assert strides == [((1, 1), (1, 1))] * 4
