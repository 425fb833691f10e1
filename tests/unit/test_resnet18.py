"""ResNet18 against torchvision's, and what is particular to it."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awnlib.model_cost import cost, output_positions
from awnlib.models import create_model, model_names
from awnlib.torchvision_shim import import_torchvision
from tests.reference import float64, load_in_order, small_model

resnet18 = import_torchvision().models.resnet18
IMAGENET = {"input_shape": (3, 224, 224), "num_classes": 1000, "layer": "sliced"}


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


# --- the plain network -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_full_width_is_torchvisions_network(training):
    torch.manual_seed(0)
    theirs = resnet18(num_classes=7).train(training)
    model = create_model("resnet18", **{**IMAGENET, "input_shape": (3, 96, 96), "num_classes": 7})
    load_in_order(model.train(training), theirs)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(images), theirs(images), rtol=1e-10, atol=1e-10)


def test_macs_and_params_are_torchvisions():
    with torch.device("meta"):
        model = create_model("resnet18", **IMAGENET)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        theirs = resnet18()
        theirs(torch.zeros(1, 3, 224, 224))
    assert cost(model).params == 11_689_512 == sum(weight.numel() for weight in theirs.parameters())
    assert cost(model).macs == 1_814_073_344 == counter.get_total_flops() // 2


def test_weights_start_as_torchvisions():
    torch.manual_seed(0)
    spreads = [value.std() for name, value in resnet18().named_parameters() if value.ndim > 1]
    own = [value.std() for value in create_model("resnet18", **IMAGENET).parameters() if value.ndim > 1]
    torch.testing.assert_close(torch.stack(own), torch.stack(spreads), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    ("size", "stem", "side"),
    [(32, "by_size", 4), (64, "by_size", 8), (96, "by_size", 3), (64, "large", 2), (96, "small", 12)],
)
def test_small_images_keep_their_resolution_longer(size, stem, side):
    model = create_model("resnet18", input_shape=(3, size, size), base_width_mult=0.05, stem=stem)
    assert output_positions(model)["blocks.7.second.conv"] == side * side


def test_the_stem_of_small_images_is_one_convolution():
    stem = small_model("resnet18").stem.conv
    assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1))


@pytest.mark.parametrize("depth_mult", [1, 3])
def test_dimensions_that_belong_together_are_one(depth_mult):
    model = small_model("resnet18", depth_mult=depth_mult)
    blocks = list(model.blocks)
    assert len(blocks) == 8 * depth_mult
    assert model.stem.conv.channels_out is model.channels["stage1"]
    assert len(model.channels) == 4 + 8 * depth_mult
    owned = [name for stage in model.stage_blocks for (name,) in stage]
    assert owned == [f"inner{number}" for number in range(1, 8 * depth_mult + 1)]
    for index, (block, name) in enumerate(zip(blocks, owned, strict=True)):
        outputs = model.channels[f"stage{index // (2 * depth_mult) + 1}"]
        assert block.first.conv.channels_out is block.second.conv.channels_in is model.channels[name]
        assert block.second.conv.channels_out is outputs
        changes = index in (2 * depth_mult, 4 * depth_mult, 6 * depth_mult)
        assert isinstance(block.shortcut, torch.nn.Identity) != changes
        if changes:
            assert block.shortcut.conv.channels_out is outputs
            assert block.shortcut.conv.stride == block.first.conv.stride == (2, 2)


def test_names_and_depths():
    assert "resnet18" in model_names()
    assert list(small_model("resnet18").channels) == [
        *("stage1", "inner1", "inner2", "stage2", "inner3", "inner4"),
        *("stage3", "inner5", "inner6", "stage4", "inner7", "inner8"),
    ]
    with pytest.raises(ValueError, match=r"depth_mult: .*greater than or equal to 1"):
        small_model("resnet18", depth_mult=0)
