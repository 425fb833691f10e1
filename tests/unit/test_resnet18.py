"""ResNet18 against torchvision's, and everything that any-width networks promise, on a small one."""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.layers import TriangularConv2d
from awnlib.model_cost import cost, output_positions
from awnlib.models import create_model, load_model, model_names, save_model
from awnlib.one_pass import backward_one_pass
from awnlib.torchvision_shim import import_torchvision
from awnlib.training.methods import load_methods
from awnlib.training.objectives import backward_widths, sample_widths
from tests.reference import float64, load_in_order, shake_norm

resnet18 = import_torchvision().models.resnet18
IMAGENET = {"input_shape": (3, 224, 224), "num_classes": 1000, "layer": "sliced"}
WIDTHS = [1.0, 0.75, 0.5, 0.35]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def small(**options):
    """A network of few channels, with logits that differ."""
    torch.manual_seed(0)
    sizes = {"input_shape": (3, 16, 16), "num_classes": 3, "base_width_mult": 0.1, "min_width_mult": 0.3}
    model = create_model("resnet18", **{**sizes, **options})
    for module in model.modules():
        shake_norm(module)
    torch.nn.init.normal_(model.classifier.weight)
    return model


def batch(size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 16, 16, generator=generator), torch.randint(3, (size,), generator=generator)


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
    stem = small().stem.conv
    assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1))


@pytest.mark.parametrize("depth_mult", [1, 3])
def test_dimensions_that_belong_together_are_one(depth_mult):
    model = small(depth_mult=depth_mult)
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
    assert list(small().channels) == [
        *("stage1", "inner1", "inner2", "stage2", "inner3", "inner4"),
        *("stage3", "inner5", "inner6", "stage4", "inner7", "inner8"),
    ]
    with pytest.raises(ValueError, match=r"depth_mult: .*greater than or equal to 1"):
        small(depth_mult=0)
    with pytest.raises(ValueError, match="lenet_3c1l has no blocks to repeat: depth_mult must be 1, found 2"):
        create_model("lenet_3c1l", depth_mult=2)


def test_counts_can_be_chosen_one_by_one():
    model = small(channels={"stage3": 11, "inner5": 31})
    assert (model.channels["stage3"].full, model.channels["inner5"].full) == (11, 31)
    assert model.eval()(batch()[0]).shape == (4, 3)
    with pytest.raises(ValueError, match="resnet18 has no channels inner9"):
        small(channels={"inner9": 11})


# --- what any-width networks promise ---------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize(
    "options", [{}, {"dense_base": True}, {"divisor": 2, "depth_mult": 2}, {"stem": "large"}]
)


@KINDS
@pytest.mark.parametrize("training", [False, True])
def test_features_of_every_width_are_the_first_ones_of_full_width(options, training):
    model = small(**options).train(training)
    images, _ = batch()
    outputs = {}
    for name, module in model.named_modules():
        if name and not list(module.children()):
            module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
    with torch.no_grad():
        model(images)
        full = dict(outputs)
        for width_mult in [*model.distinct_width_mults()[::7], 1.0]:
            model.set_width_mult(width_mult)
            model(images)
            for name, output in outputs.items():
                if name != "classifier":
                    torch.testing.assert_close(output, full[name][:, : output.shape[1]], rtol=1e-9, atol=1e-9)


def test_sliced_features_change_with_the_width():
    model = small(layer="sliced").eval()
    images, _ = batch()
    with torch.no_grad():
        full = model.features(images)
        model.set_width_mult(0.5)
        half = model.features(images)
    assert not torch.allclose(half, full[:, : half.shape[1]], rtol=1e-3)


def gradient(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@KINDS
@pytest.mark.parametrize("distillation", [False, True], ids=["labels", "distillation"])
@pytest.mark.parametrize("method", ["awn", "awn_rs", "awn_all"])
def test_one_pass_is_separate_passes(options, method, distillation):
    slow = small(**options).train()
    fast = copy.deepcopy(slow)
    every = slow.distinct_width_mults()[:: max(1, len(slow.distinct_width_mults()) // 10)]
    widths = sample_widths(load_methods()[method], WIDTHS, torch.Generator().manual_seed(0), every)
    losses, _ = backward_widths(slow, *batch(), widths, distillation=distillation)
    fast_losses, _ = backward_one_pass(fast, *batch(), widths, distillation=distillation)
    torch.testing.assert_close(fast_losses, losses, rtol=1e-12, atol=1e-12)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()
    for one, other in zip(slow.buffers(), fast.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


def test_weights_above_the_staircase_start_at_zero():
    model = create_model("resnet18", input_shape=(3, 32, 32), base_width_mult=0.25)
    for layer in model.modules():
        if isinstance(layer, TriangularConv2d):
            assert not layer.weight[layer.mask.expand_as(layer.weight) == 0].any()
            assert layer.weight.std() > 0.01


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}, {"layer": "sliced", "norm": "switchable"}])
@pytest.mark.parametrize("stem", ["small", "large"])
@pytest.mark.parametrize("fold_bn", [False, True])
def test_a_width_as_a_plain_network(options, stem, fold_bn):
    model = small(**options, stem=stem, **({"switches": [1.0, 0.4]} if "norm" in options else {})).eval()
    images, _ = batch()
    with torch.no_grad():
        for width_mult in (1.0, 0.4):
            model.set_width_mult(width_mult)
            found = extract(model, width_mult, fold_bn=fold_bn)(images)
            torch.testing.assert_close(found, model(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stem", ["small", "large"])
def test_widening_step_by_step(stem):
    model = small(stem=stem).eval()
    images, _ = batch()
    network = AnytimeNetwork(model)
    network.start(images)
    with torch.no_grad():
        for width_mult in (0.35, 0.5, 0.51, 0.3, 1.0):
            model.set_width_mult(width_mult)
            torch.testing.assert_close(network.logits(width_mult), model(images), rtol=1e-9, atol=1e-9)


def test_the_sweep_of_one_pass_is_that_of_each_width(monkeypatch):
    model = small()
    fast = sweep_widths(model, [batch()], WIDTHS)
    monkeypatch.setattr("awnlib.evaluation.sweep.is_any_width", lambda model: False)
    for one, other in zip(fast, sweep_widths(model, [batch()], WIDTHS), strict=True):
        assert one["test_loss"] == pytest.approx(other["test_loss"], rel=1e-9)
        assert one["test_top1_pct"] == other["test_top1_pct"]


def test_statistics_can_be_recalibrated_at_any_width():
    model = small(layer="sliced", norm="switchable", affine="shared", switches=[1.0, 0.35])
    recalibrate_bn(model, [batch(8)[0]], [1.0, 0.6, 0.35])
    rows = sweep_widths(model, [batch()], [0.35, 0.5, 1.0])
    assert [row["switch_width_mult"] for row in rows] == [0.35, 0.6, 1.0]


def test_files_give_the_same_model(tmp_path):
    model = small(depth_mult=2, stem="large").float().eval()
    save_model(tmp_path / "model.safetensors", model)
    with float64():
        loaded, _ = load_model(tmp_path / "model.safetensors")
    assert loaded.spec == model.spec
    assert loaded.stage_blocks == model.stage_blocks
    images = batch()[0]
    torch.testing.assert_close(loaded(images), model.double()(images))
