"""Sliced and triangular linear layers against explicit loops and `torch.nn.Linear`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from awnlib.channels import Channels
from awnlib.layers import SlimmableLinear, TriangularLinear
from tests.reference import float64, mask_slowly, plain_linear, staircase_slowly

WIDTHS = [0.25, 0.4, 0.6, 1.0]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_sliced_at_full_width_is_the_plain_layer():
    layer, plain = SlimmableLinear(Channels(5), 3, features_per_channel=4), nn.Linear(20, 3)
    plain.load_state_dict(layer.state_dict())
    features = torch.randn(6, 20)
    assert torch.equal(layer(features), plain(features))


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from(WIDTHS),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_outputs_and_gradients_equal_the_cut_out_layer(ins, outs, per_channel, width_mult, triangular, seed):
    torch.manual_seed(seed)
    a, b = Channels(ins), Channels(outs)
    layer = (TriangularLinear if triangular else SlimmableLinear)(a, b, features_per_channel=per_channel)
    a.set_width_mult(width_mult)
    b.set_width_mult(width_mult)
    plain, active_in = plain_linear(layer), a.active * per_channel
    mask = mask_slowly(staircase_slowly(a, b) if triangular else [ins] * outs, ins, per_channel)
    mask = mask[: b.active, :active_in]
    plain.weight.data *= mask
    features = torch.randn(3, active_in)
    by_hand = [
        [
            sum(plain.weight[s, t].item() * x[t].item() for t in range(active_in)) + plain.bias[s].item()
            for s in range(b.active)
        ]
        for x in features
    ]
    direction = torch.randn(3, b.active)
    output = layer(features)
    (output * direction).sum().backward()
    (plain(features) * direction).sum().backward()
    close(output.detach(), torch.tensor(by_hand))
    weight_grad, bias_grad = torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)
    weight_grad[: b.active, :active_in] = plain.weight.grad * mask
    bias_grad[: b.active] = plain.bias.grad
    close(layer.weight.grad, weight_grad)
    close(layer.bias.grad, bias_grad)
    assert layer.active_connections() == int(mask.sum())


@pytest.mark.parametrize("dense_base", [False, True])
def test_weights_above_the_staircase_stay_exactly_zero(dense_base):
    torch.manual_seed(0)
    a, b = Channels(5, min_width_mult=0.5), Channels(8, min_width_mult=0.5)
    layer = TriangularLinear(a, b, features_per_channel=2, dense_base=dense_base)
    above = mask_slowly(staircase_slowly(a, b, dense_base=dense_base), 5, 2) == 0
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(4, 10)).square().sum().backward()
        assert torch.count_nonzero(layer.weight.grad[above]) == 0
        optimizer.step()
    assert 0 < above.sum() < above.numel()
    assert torch.equal(layer.weight == 0, above)


def test_triangular_with_fixed_outputs_reads_the_smallest_width_only():
    layer = TriangularLinear(Channels(8, min_width_mult=0.25), 3, features_per_channel=2)
    assert torch.equal(layer.weight != 0, torch.arange(16).expand(3, 16) < 4)


def test_layers_without_bias():
    a = Channels(4)
    a.set_width_mult(0.5)
    for kind in (SlimmableLinear, TriangularLinear):
        layer = kind(a, a, bias=False)
        assert set(layer.state_dict()) == {"weight"}
        assert torch.equal(layer(torch.zeros(1, 2)), torch.zeros(1, 2))


@pytest.mark.parametrize("kind", [SlimmableLinear, TriangularLinear])
def test_a_head_gives_the_outputs_of_every_width_from_one_input(kind):
    torch.manual_seed(0)
    inputs = Channels(6, min_width_mult=0.5)
    layer = kind(inputs, 3, features_per_channel=2)
    features = torch.randn(4, 12)
    widths = [0.5, 0.7, 0.7, 1.0]
    expected = torch.stack([output_slowly(layer, features, width) for width in widths])
    counts = [inputs.count(width) for width in widths]
    inputs.set_width_mult(1.0)
    empty = torch.ones(4, 2)  # features of channels that only fill vectors
    order = [2, 0, 3, 1]
    close(layer.prefix_outputs(torch.cat([features, empty], 1), torch.tensor(counts)[order]), expected[order])
    close(torch.stack(list(layer.running_outputs(features, counts))), expected)


def output_slowly(layer, features, width_mult):
    layer.channels_in.set_width_mult(width_mult)
    return layer(features[:, : 2 * layer.channels_in.active])


def test_a_triangular_head_learns_nothing_above_its_staircase():
    layer = TriangularLinear(Channels(4), Channels(3, fixed=True))
    layer.prefix_outputs(torch.randn(2, 4), torch.tensor([1, 4])).sum().backward()
    assert not layer.weight.grad[:, layer.limits[0] :].any()


def test_outputs_that_follow_the_width_are_no_head():
    layer = SlimmableLinear(Channels(4), Channels(3, name="out"))
    with pytest.raises(ValueError, match=r"must be fixed, found Channels\(out: 3/3\)"):
        layer.prefix_outputs(torch.randn(2, 4), torch.tensor([1]))
    with pytest.raises(ValueError, match=r"must be fixed, found Channels\(out: 3/3\)"):
        next(layer.running_outputs(torch.randn(2, 4), [1]))
