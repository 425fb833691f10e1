"""MobileNetV2 against torchvision's, and what is particular to it."""

import pytest
import torch

from awnlib.deploy.extract import extract
from awnlib.model_cost import cost, output_positions, plain_params, stored_params
from awnlib.models import create_model
from awnlib.models._conv_norm import ConvNorm
from awnlib.torchvision_shim import import_torchvision
from tests.reference import float64, load_in_order, small_model

mobilenet_v2 = import_torchvision().models.mobilenet_v2

WIDTHS = [1.0, 0.75, 0.5, 0.35]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


# --- the plain network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_full_width_is_torchvisions_network_at_imagenet_resolution(training):
    theirs = mobilenet_v2(num_classes=7).train(training)
    theirs.classifier[0].p = 0.0
    model = create_model("mobilenet_v2", input_shape=(3, 224, 224), num_classes=7, layer="sliced", divisor=8)
    load_in_order(model.train(training), theirs)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(images), theirs(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("width_mult", [0.75, 0.5, 0.35])
def test_every_published_width_is_torchvisions_network(width_mult):
    theirs = mobilenet_v2(num_classes=5, width_mult=width_mult).eval()
    options = {"input_shape": (3, 96, 96), "num_classes": 5, "layer": "sliced", "divisor": 8}
    model = create_model("mobilenet_v2", **options).eval()
    network = extract(model, width_mult)
    assert [value.shape for value in network.state_dict().values()] == [
        value.shape for value in theirs.state_dict().values()
    ]
    load_in_order(network, theirs)
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(images), theirs(images), rtol=1e-10, atol=1e-10)
    alone = create_model("mobilenet_v2", **options, base_width_mult=width_mult, min_width_mult=1.0)
    assert [value.shape for value in alone.state_dict().values()] == [
        value.shape for value in theirs.state_dict().values()
    ]


@pytest.mark.parametrize(("width_mult", "millions"), [(1.0, 301), (0.75, 209), (0.5, 97), (0.35, 59)])
def test_macs_are_those_of_the_papers(width_mult, millions):
    model = create_model("mobilenet_v2", input_shape=(3, 224, 224), num_classes=1000, layer="sliced", divisor=8)
    model.set_width_mult(width_mult)
    assert round(cost(model).macs / 1e6) == millions


def test_an_any_width_network_has_as_many_weights_as_a_plain_one():
    """sqrt(2) times the channels and half of the weights: 2 % more at full width, 7 % more at 0.35."""
    options = {"input_shape": (3, 32, 32), "num_classes": 10}
    plain = create_model("mobilenet_v2", **options, layer="sliced")
    plain.channels["last"].fixed = False  # what the paper compares with at narrow widths: everything follows the width
    any_width = create_model("mobilenet_v2", **options, base_width_mult=2**0.5)
    for width_mult in WIDTHS:
        plain.set_width_mult(width_mult)
        any_width.set_width_mult(width_mult)
        assert cost(any_width).params == pytest.approx(cost(plain).params, rel=0.08)


def test_small_images_keep_their_resolution_longer():
    sizes = {}
    for size in (32, 64, 96):
        model = create_model("mobilenet_v2", input_shape=(3, size, size), base_width_mult=0.1)
        sizes[size] = output_positions(model)["last.conv"]
    assert sizes == {32: 4 * 4, 64: 8 * 8, 96: 3 * 3}


@pytest.mark.parametrize("layer", ["triangular", "sliced"])
def test_dimensions_that_belong_together_are_one(layer):
    model = small_model("mobilenet_v2", layer=layer)
    blocks = list(model.blocks)
    assert len(blocks) == 17
    assert blocks[0].depthwise.conv.channels_in is model.channels["stem"]
    for block in blocks:
        assert block.depthwise.conv.channels_in is block.depthwise.conv.channels_out
        assert block.depthwise.conv.channels_in is block.project.conv.channels_in
        assert block.is_residual == (block.depthwise.conv.stride == (1, 1) and returns_to_its_input(block))
    assert sum(block.is_residual for block in blocks) == 10
    for width_mult in model.distinct_width_mults():
        model.set_width_mult(width_mult)
        for block in blocks[1:]:
            assert block.expand.conv.channels_out.active == 6 * block.expand.conv.channels_in.active
    assert model.channels["last"].fixed == (layer == "sliced")


def returns_to_its_input(block):
    first = block.expand if isinstance(block.expand, ConvNorm) else block.depthwise
    return first.conv.channels_in is block.project.conv.channels_out


@pytest.mark.parametrize(("num_switches", "paper_extra_pct"), [(10, 9), (20, 18)])
def test_sets_of_statistics_enlarge_the_network_as_the_paper_says(num_switches, paper_extra_pct):
    switches = torch.linspace(0.35, 1.0, num_switches).tolist()
    options = {"layer": "sliced", "norm": "switchable", "affine": "shared", "min_width_mult": 0.3}
    model = create_model("mobilenet_v2", input_shape=(3, 32, 32), num_classes=100, switches=switches, **options)
    extra_pct = 100 * (stored_params(model) / plain_params(model) - 1)
    assert extra_pct == pytest.approx(paper_extra_pct, abs=0.6)  # Any-Width Networks, section 5.1


# --- depth and the last convolution ----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth_mult", [1, 2, 3])
def test_depth_repeats_blocks_of_the_stages_that_have_several(depth_mult):
    model = small_model("mobilenet_v2", depth_mult=depth_mult)
    assert [len(stage) for stage in model.stage_blocks] == [1, *(depth_mult * n for n in (2, 3, 4, 3, 3)), 1]
    assert len(model.blocks) == 2 + 15 * depth_mult
    assert sum(block.is_residual for block in model.blocks) == 15 * depth_mult - 5
    assert model.stage_blocks[0] == ((),)
    owned = [name for stage in model.stage_blocks[1:] for (name,) in stage]
    assert owned == [f"expand{number}" for number in range(2, 3 + 15 * depth_mult)]
    for block, name in zip(list(model.blocks)[1:], owned, strict=True):
        assert block.expand.conv.channels_out is model.channels[name]
        assert model.channels[name].full == 6 * block.expand.conv.channels_in.full
    others = set(model.channels) - set(owned)
    assert others == {"stem", "last", *(f"stage{number}" for number in range(1, 8))}


def test_the_last_convolution_can_follow_the_width():
    sliced = {"layer": "sliced", "base_width_mult": 0.2}
    fixed, slim = small_model("mobilenet_v2", **sliced), small_model("mobilenet_v2", **sliced, slim_last=True)
    for model in (fixed, slim):
        model.set_width_mult(0.5)
    assert fixed.channels["last"].active == fixed.channels["last"].full == 1280
    assert (slim.channels["last"].full, slim.channels["last"].active) == (256, 128)


def test_the_stem_can_be_chosen_whatever_the_resolution():
    sides = {}
    for stem in ("by_size", "small", "large"):
        model = create_model("mobilenet_v2", input_shape=(3, 64, 64), base_width_mult=0.1, stem=stem)
        sides[stem] = output_positions(model)["last.conv"]
    assert sides == {"by_size": 64, "small": 64, "large": 4}
