"""The property any-width networks rest on: features at a width are the first features at every larger one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from awnlib.channels import Channels
from awnlib.layers import (
    SharedBatchNorm2d,
    SlimmableConv2d,
    SlimmableLinear,
    TriangularConv2d,
    TriangularLinear,
)
from tests.reference import all_widths, float64, shake_norm


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


@st.composite
def dimensions(draw):
    full = draw(st.integers(1, 10))
    min_channels = draw(st.integers(1, min(3, full)))
    return Channels(full, min_width_mult=0.2, divisor=draw(st.integers(1, 4)), min_channels=min_channels)


def outputs_of(layers, x):
    """The output of every layer of a chain."""
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs


def prefix_errors(layers, x, channels):
    """For each layer the largest difference from the first features at full width, over all distinct widths."""
    for c in channels:
        c.set_width_mult(1.0)
    with torch.no_grad():
        full = outputs_of(layers, x(1.0))
        errors = [0.0] * len(full)
        for width_mult in all_widths(*channels, low=0.2, grid=4):
            for c in channels:
                c.set_width_mult(width_mult)
            for i, output in enumerate(outputs_of(layers, x(width_mult))):
                difference = output - full[i][:, : output.shape[1]]
                errors[i] = max(errors[i], float(difference.abs().max()))
    return errors


@pytest.mark.parametrize("training", [False, True])
@given(dimensions(), dimensions(), dimensions(), dimensions(), st.booleans(), st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_stacks_of_rectangular_triangular_layers(training, a, b, c, d, dense_base, seed):
    torch.manual_seed(seed)
    layers = nn.Sequential(
        TriangularConv2d(2, a, 3, padding=1, dense_base=dense_base),
        SharedBatchNorm2d(a),
        nn.ReLU(),
        TriangularConv2d(a, b, 3, stride=2, dense_base=dense_base),
        SharedBatchNorm2d(b),
        TriangularConv2d(b, b, 3, padding=1, groups=b.full),
        nn.ReLU(),
        TriangularConv2d(b, c, 1, bias=False, dense_base=dense_base),
        SharedBatchNorm2d(c),
        nn.Flatten(),
        TriangularLinear(c, d, features_per_channel=4, dense_base=dense_base),
        nn.ReLU(),
        TriangularLinear(d, a, dense_base=dense_base),
    ).train(training)
    for layer in layers:
        shake_norm(layer)
    images = torch.randn(3, 2, 5, 5)
    errors = prefix_errors(layers, lambda _: images, [a, b, c, d])
    assert max(errors) < 1e-9, errors


@given(dimensions(), dimensions(), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_single_layers_on_any_input(a, b, seed):
    torch.manual_seed(seed)
    images = torch.randn(2, a.full, 4, 4)
    for layer in (TriangularConv2d(a, b, 3), TriangularConv2d(a, b, 1), TriangularConv2d(a, a, 3, groups=a.full)):
        assert prefix_errors([layer], lambda w: images[:, : a.count(w)], [a, b]) < [1e-12]
    features = torch.randn(2, a.full * 3)
    layer = TriangularLinear(a, b, features_per_channel=3)
    assert prefix_errors([layer], lambda w: features[:, : a.count(w) * 3], [a, b]) < [1e-12]


def test_sliced_layers_do_not_have_the_property():
    torch.manual_seed(0)
    a, b = Channels(6, min_width_mult=0.2), Channels(8, min_width_mult=0.2)
    images, features = torch.randn(2, 6, 4, 4), torch.randn(2, 6)
    assert prefix_errors([SlimmableConv2d(a, b, 3)], lambda w: images[:, : a.count(w)], [a, b]) > [0.1]
    assert prefix_errors([SlimmableLinear(a, b)], lambda w: features[:, : a.count(w)], [a, b]) > [0.1]
