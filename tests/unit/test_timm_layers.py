"""Layers of timm's own classes, made slimmable and extracted as such."""

import pytest
import torch
from torch import nn

from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
from awnlib.torchvision_shim import import_torchvision
from tests.masked import masked_outputs, shake

import_torchvision()
timm_layers = pytest.importorskip("timm.layers", reason="for developers: awnlib[dev]")
WIDTHS = [0.25, 0.5, 0.75]


def layers():
    torch.manual_seed(0)
    network = nn.Sequential(
        timm_layers.Conv2dSame(3, 8, (5, 3), stride=(2, 1), dilation=(1, 2)),
        timm_layers.BatchNormAct2d(8, act_layer=nn.PReLU, act_kwargs={"num_parameters": 8}),
        timm_layers.Conv2dSame(8, 8, 3, stride=3, groups=8, bias=False),
        timm_layers.BatchNormAct2d(8, eps=1e-2),
        timm_layers.SelectAdaptivePool2d(flatten=True),
        timm_layers.Linear(8, 6),
        timm_layers.LayerNorm(6),
        nn.Linear(6, 3),
    )
    return shake(network), torch.randn(2, 3, 13, 11)


@torch.no_grad()
def test_timms_layers_follow_the_width_and_are_extracted():
    network, images = layers()
    converted = to_slimmable(network, images, divisor=1)
    assert converted.report.free == {"0": 8, "5": 6}
    assert set(converted.state_dict()) == set(network.state_dict())
    assert torch.equal(converted(images), network(images))
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        plain = extract(converted, width_mult)
        assert torch.equal(plain(images), converted(images))
        assert [type(layer) for layer in plain] == [type(layer) for layer in network]


@torch.no_grad()
def test_timms_layers_are_the_masked_ones():
    network, images = layers()
    del network[6]  # a layer norm is over the active channels
    converted = to_slimmable(network, images, divisor=1)
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        torch.testing.assert_close(converted(images), masked_outputs(network, converted, images))
