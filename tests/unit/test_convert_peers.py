"""A dozen small torchvision networks made slimmable, at tiny images; `benchmarks.conversions` has all of them."""

import pytest
import torch
from torch import nn

from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
from awnlib.torchvision_shim import import_torchvision
from tests.masked import masked_outputs, shake

models = import_torchvision().models
WIDTHS = [0.25, 0.5, 0.75]
NETWORKS = {
    "alexnet": (64, 7, 1),
    "densenet121": (32, 120, 1),
    "efficientnet_b0": (32, 40, 1),
    "mnasnet0_5": (32, 25, 1),
    "mobilenet_v2": (32, 25, 1),
    "mobilenet_v3_small": (32, 27, 1),
    "regnet_x_400mf": (32, 27, 1),
    "regnet_y_400mf": (32, 37, 1),
    "resnet18": (32, 12, 1),
    "shufflenet_v2_x0_5": (32, 18, 22),
    "squeezenet1_1": (32, 25, 1),
}
"""Size of the images, dimensions that follow the width, and layers that keep outputs."""


def network_and_images(name, size):
    torch.manual_seed(0)
    return shake(getattr(models, name)(num_classes=10)), torch.randn(2, 3, size, size)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_networks_are_the_masked_originals(name):
    size, free, fixed = NETWORKS[name]
    network, images = network_and_images(name, size)
    converted = to_slimmable(network, images)
    assert (len(converted.report.free), len(converted.report.fixed)) == (free, fixed)
    assert list(converted.state_dict()) == list(network.state_dict())
    assert torch.equal(converted(images), network(images))
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        expected = masked_outputs(network, converted, images)
        torch.testing.assert_close(converted(images), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
        assert torch.equal(extract(converted, width_mult)(images), converted(images))


def test_layers_for_training_alone_are_refused():
    network = models.googlenet(num_classes=10, init_weights=False)
    with pytest.raises(ValueError, match=r"aux1\.conv\.conv\.weight.* not used in evaluation.*aux_logits=False"):
        to_slimmable(network, torch.randn(1, 3, 64, 64))


def cut(tensor, counts):
    """The first entries along each dimension."""
    return tensor[tuple(slice(count) for count in counts)]


@torch.no_grad()
def test_vgg16_bn_is_the_network_cut_by_hand():
    network, images = network_and_images("vgg16_bn", 32)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier[0] = nn.Linear(512, 64)
    network.classifier[3], network.classifier[6] = nn.Linear(64, 32), nn.Linear(32, 10)
    converted = to_slimmable(network, images)
    converted.set_width_mult(0.5)
    half = [count // 2 if count != "M" else count for count in models.vgg.cfgs["D"]]
    by_hand = models.VGG(models.vgg.make_layers(half, batch_norm=True), num_classes=10)
    by_hand.avgpool = nn.AdaptiveAvgPool2d(1)
    by_hand.classifier[0] = nn.Linear(256, 32)
    by_hand.classifier[3], by_hand.classifier[6] = nn.Linear(32, 16), nn.Linear(16, 10)
    full = network.state_dict()
    by_hand.load_state_dict({name: cut(full[name], value.shape) for name, value in by_hand.state_dict().items()})
    assert torch.equal(converted(images), by_hand.eval()(images))


@pytest.mark.slow
@torch.no_grad()
def test_resnet50_is_the_network_cut_by_hand():
    network, images = network_and_images("resnet50", 32)
    converted = to_slimmable(network, images)
    converted.set_width_mult(0.5)

    block = models.resnet.Bottleneck
    by_hand = models.ResNet(block, [3, 4, 6, 3], num_classes=10)
    by_hand.inplanes = 32
    by_hand.conv1, by_hand.bn1 = nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32)
    for index, blocks in enumerate([3, 4, 6, 3]):
        layer = by_hand._make_layer(block, 32 * 2**index, blocks, stride=1 if index == 0 else 2)
        setattr(by_hand, f"layer{index + 1}", layer)
    by_hand.fc = nn.Linear(1024, 10)
    full = network.state_dict()
    by_hand.load_state_dict({name: cut(full[name], value.shape) for name, value in by_hand.state_dict().items()})
    torch.testing.assert_close(converted(images), by_hand.eval()(images), rtol=1e-6, atol=1e-6)
