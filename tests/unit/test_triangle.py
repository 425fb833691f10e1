"""Weights above a staircase stay zero however a layer gets its memory and its numbers."""

import copy

import pytest
import torch
from torch import nn

from awnlib.channels import Channels, staircase
from awnlib.layers import SwitchableBatchNorm2d, TriangularConv2d, TriangularLinear
from awnlib.models import create_model, create_structure
from tests.reference import mask_slowly

INS, OUTS = 6, 9


def conv():
    return TriangularConv2d(Channels(INS), Channels(OUTS), 3)


def linear():
    return TriangularLinear(Channels(INS), Channels(OUTS), features_per_channel=2)


LAYERS = pytest.mark.parametrize("make", [conv, linear])


def above(layer):
    mask = mask_slowly(staircase(Channels(INS), Channels(OUTS)), INS, getattr(layer, "features_per_channel", 1))
    return mask.reshape(layer.weight.shape[:2]) == 0


def check(layer):
    """Zero above the staircase, not below it, and the mask that keeps it so."""
    zero = above(layer)
    assert 0 < zero.sum() < zero.numel()
    weight = layer.weight.detach().reshape(*zero.shape, -1)
    assert not weight[zero].any()
    assert weight[~zero].all()
    assert torch.equal(layer.mask.reshape(zero.shape) == 0, zero)
    assert layer.mask.dtype == layer.weight.dtype


def full(layer):
    """A checkpoint with numbers everywhere, as of a layer without a staircase."""
    return {name: torch.rand(value.shape) + 1 for name, value in layer.state_dict().items()}


def without_memory(make):
    with torch.device("meta"):
        return make()


def empty(make, garbage=float("nan")):
    """A layer built without memory and given some, with whatever was there."""
    layer = without_memory(make).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(garbage)
    return layer


@LAYERS
def test_after_to_empty_parameters_are_reset_as_they_begin(make):
    layer = empty(make)
    torch.manual_seed(0)
    layer.reset_parameters()
    check(layer)
    torch.manual_seed(0)
    torch.testing.assert_close(layer.state_dict(), make().state_dict(), rtol=0, atol=0)


@LAYERS
@pytest.mark.parametrize("assign", [False, True])
def test_what_is_loaded_is_zero_above_the_staircase(make, assign):
    for layer in (make(), copy.deepcopy(make()), empty(make), without_memory(make) if assign else make()):
        loaded = full(layer)
        before = copy.deepcopy(loaded)
        layer.load_state_dict(loaded, assign=assign)
        check(layer)
        torch.testing.assert_close(loaded, before, rtol=0, atol=0)  # the caller's numbers are the caller's
        below = ~above(layer)
        assert torch.equal(
            layer.weight.reshape(*below.shape, -1)[below], before["weight"].reshape(*below.shape, -1)[below]
        )
        assert torch.equal(layer.bias, before["bias"])


@LAYERS
def test_moved_layers_keep_their_mask(make):
    layer = make()
    check(layer.double())
    check(layer.to(torch.bfloat16).float())
    check(layer.share_memory())
    assert layer.mask.is_shared()


@LAYERS
def test_a_checkpoint_of_other_shape_is_refused_by_torch(make):
    layer = make()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict({**full(layer), "weight": torch.zeros(1, 1)})
    with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
        layer.load_state_dict({"bias": layer.bias})
    check(layer)


def test_a_depthwise_layer_has_no_staircase():
    channels = Channels(INS)
    layer = TriangularConv2d(channels, channels, 3, groups=INS)
    loaded = full(layer)
    layer.load_state_dict(loaded)
    assert torch.equal(layer.weight, loaded["weight"])
    layer.reset_parameters()
    assert layer.limits == []


@pytest.mark.parametrize("affine", ["private", "shared"])
def test_a_switchable_norm_begins_anew(affine):
    norm = SwitchableBatchNorm2d(Channels(4), [0.5, 1.0], affine=affine)
    begin = copy.deepcopy(norm.state_dict())
    for value in norm.state_dict().values():
        value.fill_(7)
    for module in norm.modules():
        if not isinstance(module, nn.ModuleList):
            module.reset_parameters()
    torch.testing.assert_close(norm.state_dict(), begin, rtol=0, atol=0)


@pytest.mark.parametrize("assign", [False, True])
def test_a_model_without_memory_that_is_loaded(assign):
    options = {"name": "lenet_3c1l", "input_shape": (1, 16, 16)}
    expected, model = create_model(**options).eval(), create_structure(**options).eval()
    if not assign:
        model.to_empty(device="cpu")
    model.load_state_dict(expected.state_dict(), assign=assign)
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(model(images), expected(images))
