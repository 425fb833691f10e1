"""MobileNet v1 against one written out by hand, and what is particular to it."""

import pytest
import torch
from torch import nn

from awnlib.deploy.extract import extract
from awnlib.model_cost import cost, output_positions
from awnlib.models import create_model, create_structure
from tests.reference import float64, load_in_order, shake_norm, small_model

IMAGENET = {"input_shape": (3, 224, 224), "num_classes": 1000, "layer": "sliced", "divisor": 8}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def plain_mobilenet(channels, num_classes, small=False):
    """MobileNets, table 1, line by line; `channels` those of the stem and of each block."""

    def part(inputs, outputs, kernel_size, stride=1, groups=1):
        shape = {"stride": stride, "padding": kernel_size // 2, "groups": groups, "bias": False}
        return [nn.Conv2d(inputs, outputs, kernel_size, **shape), nn.BatchNorm2d(outputs), nn.ReLU6()]

    first = 1 if small else 2
    layers = part(3, channels[0], 3, stride=first)
    strides = [1, first, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    for inputs, outputs, stride in zip(channels, channels[1:], strides, strict=False):
        layers += part(inputs, inputs, 3, stride, groups=inputs) + part(inputs, outputs, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_classes))


FULL = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
QUARTER = [8, 16, 32, 32, 64, 64, *[128] * 6, 256, 256]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [32, 96])
def test_full_width_is_the_plain_network(training, size):
    torch.manual_seed(0)
    theirs = plain_mobilenet(FULL, 7, small=size == 32).train(training)
    for module in theirs:
        shake_norm(module)
    model = create_model("mobilenet_v1", **{**IMAGENET, "input_shape": (3, size, size), "num_classes": 7})
    load_in_order(model.train(training), theirs)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(model(images), theirs(images), rtol=1e-10, atol=1e-10)


def test_a_width_is_the_plain_network_of_fewer_channels():
    torch.manual_seed(0)
    theirs = plain_mobilenet(QUARTER, 5).eval()
    network = extract(create_model("mobilenet_v1", **{**IMAGENET, "input_shape": (3, 96, 96), "num_classes": 5}), 0.25)
    shapes = [value.shape for value in network.state_dict().values()]
    assert shapes == [value.shape for value in theirs.state_dict().values()]
    load_in_order(network, theirs)
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(images), theirs(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("width_mult", "millions"), [(1.0, 569), (0.75, 325), (0.5, 150), (0.25, 41)])
def test_macs_are_those_of_the_papers(width_mult, millions):
    """US-Nets, table 1, and the authors' list of S-Nets, which has 325 at 0.75 where the paper prints 317."""
    assert macs_of([width_mult])[0] / 1e6 == pytest.approx(millions, abs=0.51)


def macs_of(width_mults):
    model = create_structure("mobilenet_v1", **IMAGENET)
    positions, macs = output_positions(model), []
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        macs.append(cost(model, positions).macs)
    return macs


SPECTRUM = (41, 48, 64, 71, 80, 89, 100, 114, 124, 136, 149, 162, 177, 201, 217, 232, 249, 267, 287, 306, 325)
SPECTRUM += (345, 366, 389, 421, 443, 466, 490, 517, 543, 568)
"""Whole millions of MACs that the authors of US-Nets list beside their model, at [.25 : .025 : 1]."""


def test_macs_of_all_widths_are_the_authors():
    widths = [round(0.25 + 0.025 * step, 3) for step in range(31)]
    assert tuple(macs // 10**6 for macs in macs_of(widths)) == SPECTRUM


def test_params_are_those_of_the_published_network():
    assert cost(create_structure("mobilenet_v1", **IMAGENET)).params == 4_231_976


def test_weights_start_as_the_authors():
    """Normal with the variance 2 / (k^2 outputs), for depthwise convolutions too; the classifier with 0.01."""
    torch.manual_seed(0)
    model = create_model("mobilenet_v1", **IMAGENET)
    for block in model.blocks:
        for conv in (block.depthwise.conv, block.pointwise.conv):
            expected = (2 / (conv.out_channels * conv.kernel_size[0] ** 2)) ** 0.5
            assert conv.weight.std().item() == pytest.approx(expected, rel=0.15)
    assert model.classifier.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not model.classifier.bias.any()


@pytest.mark.parametrize(
    ("size", "stem", "side"), [(32, "by_size", 4), (64, "by_size", 8), (96, "by_size", 3), (64, "large", 2)]
)
def test_small_images_keep_their_resolution_longer(size, stem, side):
    model = create_model("mobilenet_v1", input_shape=(3, size, size), base_width_mult=0.1, stem=stem)
    assert output_positions(model)["blocks.12.pointwise.conv"] == side * side


@pytest.mark.parametrize("depth_mult", [1, 2])
def test_each_block_has_a_dimension_of_its_own_and_reads_that_of_the_one_before(depth_mult):
    model = small_model("mobilenet_v1", depth_mult=depth_mult)
    assert [len(stage) for stage in model.stage_blocks] == [1, *(depth_mult * number for number in (2, 2, 6, 2))]
    names = ["stem", *(f"block{number}" for number in range(1, 2 + 12 * depth_mult))]
    assert list(model.channels) == names
    assert [name for stage in model.stage_blocks for (name,) in stage] == names[1:]
    for block, before, name in zip(model.blocks, names, names[1:], strict=False):
        assert block.depthwise.conv.channels_out is model.channels[before] is block.pointwise.conv.channels_in
        assert block.pointwise.conv.channels_out is model.channels[name]
    assert sum(block.depthwise.conv.stride == (2, 2) for block in model.blocks) == 3
