"""ResNet50 against torchvision's, and what is particular to it."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awnlib.model_cost import cost, output_positions
from awnlib.models import create_model, create_structure, load_torchvision_weights
from awnlib.torchvision_shim import import_torchvision
from tests.reference import float64, load_in_order, shake_norm, small_model

resnet50 = import_torchvision().models.resnet50
IMAGENET = {"input_shape": (3, 224, 224), "num_classes": 1000, "layer": "sliced"}
SMALL = {"input_shape": (3, 64, 64), "num_classes": 7, "layer": "sliced", "stem": "large"}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


@pytest.fixture(scope="module")
def theirs(_float64):
    """A network of torchvision with random weights and statistics of its own."""
    torch.manual_seed(0)
    network = resnet50(num_classes=7)
    for module in network.modules():
        shake_norm(module)
    return network


# --- the plain network -----------------------------------------------------------------------------------------------


def check_equal(model, theirs, images):
    for training in (False, True):
        with torch.no_grad():
            found, expected = model.train(training)(images), theirs.train(training)(images)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("norm", [{}, {"norm": "switchable"}, {"norm": "switchable", "affine": "shared"}], ids=str)
def test_full_width_is_torchvisions_network(theirs, norm):
    model = create_model("resnet50", **SMALL, **norm)
    load_torchvision_weights(model, theirs.state_dict())
    check_equal(model, theirs, torch.randn(2, 3, 64, 64))
    model.set_width_mult(0.5)
    assert model(torch.randn(2, 3, 64, 64)).isfinite().all()


def test_layers_are_in_torchvisions_order(theirs):
    model = create_model("resnet50", **SMALL)
    load_in_order(model, theirs)
    check_equal(model, theirs, torch.randn(2, 3, 64, 64))


def test_macs_and_params_are_torchvisions():
    model = create_structure("resnet50", **IMAGENET)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        plain = resnet50()
        plain(torch.zeros(1, 3, 224, 224))
    assert cost(model).params == 25_557_032 == sum(weight.numel() for weight in plain.parameters())
    assert cost(model).macs == 4_089_184_256 == counter.get_total_flops() // 2


@pytest.mark.parametrize(("width_mult", "millions"), [(1.0, 4100), (0.75, 2300), (0.5, 1100), (0.25, 278)])
def test_macs_of_narrow_networks_are_those_of_s_nets(width_mult, millions):
    """As the authors of Slimmable Neural Networks list them, in two or three digits."""
    model = create_structure("resnet50", **IMAGENET, divisor=8)
    model.set_width_mult(width_mult)
    assert cost(model).macs / 1e6 == pytest.approx(millions, abs=50 if millions > 1000 else 0.5)


def test_weights_start_as_torchvisions(theirs):
    torch.manual_seed(0)
    spreads = [value.std() for value in theirs.parameters() if value.ndim > 1]
    own = [value.std() for value in create_model("resnet50", **SMALL).parameters() if value.ndim > 1]
    torch.testing.assert_close(torch.stack(own), torch.stack(spreads), rtol=0.04, atol=0)


# --- dimensions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "stem", "side"), [(32, "by_size", 4), (64, "large", 2), (96, "by_size", 3)])
def test_small_images_keep_their_resolution_longer(size, stem, side):
    model = create_model("resnet50", input_shape=(3, size, size), base_width_mult=0.05, stem=stem)
    assert output_positions(model)["blocks.15.third.conv"] == side * side


@pytest.mark.parametrize("depth_mult", [1, 2])
def test_dimensions_that_belong_together_are_one(depth_mult):
    model = small_model("resnet50", depth_mult=depth_mult)
    lengths = [depth_mult * number for number in (3, 4, 6, 3)]
    assert [len(stage) for stage in model.stage_blocks] == lengths
    assert list(model.channels)[:5] == ["stem", "stage1", "reduce1", "inner1", "reduce2"]
    assert len(model.channels) == 1 + 4 + 2 * 16 * depth_mult
    stages = [number for number, length in enumerate(lengths, start=1) for _ in range(length)]
    inputs = model.stem.conv.channels_out
    assert inputs is model.channels["stem"]
    for number, (stage, block) in enumerate(zip(stages, model.blocks, strict=True), start=1):
        reduced, inner, outputs = (
            model.channels[key] for key in (f"reduce{number}", f"inner{number}", f"stage{stage}")
        )
        assert block.first.conv.channels_in is inputs
        assert block.first.conv.channels_out is block.second.conv.channels_in is reduced
        assert block.second.conv.channels_out is block.third.conv.channels_in is inner
        assert block.third.conv.channels_out is outputs
        assert outputs.full == 4 * inner.full == 4 * reduced.full
        changes = inputs is not outputs
        assert isinstance(block.shortcut, torch.nn.Identity) != changes
        if changes:
            assert block.shortcut.conv.stride == block.second.conv.stride == ((1, 1) if stage == 1 else (2, 2))
        inputs = outputs


def test_another_depth_is_not_torchvisions(theirs):
    with pytest.raises(ValueError, match=r"not those of torchvision's resnet50 at its full width: \d+ missing"):
        load_torchvision_weights(create_structure("resnet50", **SMALL, depth_mult=2), theirs.state_dict())
