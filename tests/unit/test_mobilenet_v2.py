"""MobileNetV2 against torchvision's, and everything that any-width networks promise, on a small one."""

import copy

import pytest
import torch

from awnlib.channels import Channels, staircase
from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.layers import TriangularConv2d
from awnlib.model_cost import cost, output_positions, plain_params, stored_params
from awnlib.models import create_model
from awnlib.models._conv_norm import ConvNorm
from awnlib.one_pass import backward_one_pass
from awnlib.torchvision_shim import import_torchvision
from awnlib.training.methods import load_methods
from awnlib.training.objectives import backward_widths, sample_widths
from tests.reference import float64, load_in_order, shake_norm

mobilenet_v2 = import_torchvision().models.mobilenet_v2

WIDTHS = [1.0, 0.75, 0.5, 0.35]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def small(**options):
    """A network of few channels, with logits that differ."""
    torch.manual_seed(0)
    sizes = {"input_shape": (3, 16, 16), "num_classes": 3, "base_width_mult": 0.2, "min_width_mult": 0.3}
    model = create_model("mobilenet_v2", **{**sizes, **options})
    for module in model.modules():
        shake_norm(module)
    torch.nn.init.normal_(model.classifier.weight)
    return model


def batch(size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 16, 16, generator=generator), torch.randint(3, (size,), generator=generator)


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
    model = small(layer=layer)
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


def test_counts_can_be_chosen_one_by_one():
    model = small(channels={"stage3": 11, "expand5": 31, "last": 40})
    assert (model.channels["stage3"].full, model.channels["expand5"].full, model.channels["last"].full) == (11, 31, 40)
    assert model.eval()(batch()[0]).shape == (4, 3)
    with pytest.raises(ValueError, match="mobilenet_v2 has no channels stage8"):
        small(channels={"stage8": 11})


@pytest.mark.parametrize(("full", "factor"), [(31, 6), (5, 6), (6, 0)])
def test_a_factor_divides_the_full_count(full, factor):
    with pytest.raises(ValueError, match=f"factor must divide full, found {factor} and {full}"):
        Channels(full, factor=factor)


@pytest.mark.parametrize("divisor", [1, 8])
def test_a_factor_multiplies_every_count_and_step(divisor):
    base, expanded = Channels(34, divisor=divisor), Channels(204, divisor=divisor, factor=6)
    for width_mult in (0.01, 0.25, 0.26, 0.5, 0.77, 1.0):
        assert expanded.count(width_mult) == 6 * base.count(width_mult)
    assert expanded.steps == tuple((width_mult, 6 * count) for width_mult, count in base.steps)
    assert staircase(base, expanded) == [limit for limit in staircase(base, base) for _ in range(6)]


# --- what any-width networks promise ---------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("options", [{}, {"dense_base": True}, {"divisor": 4}], ids=["1", "dense base", "4"])


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


def gradient(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@KINDS
@pytest.mark.parametrize("distillation", [False, True], ids=["labels", "distillation"])
@pytest.mark.parametrize("method", ["awn", "awn_rs", "awn_all"])
def test_one_pass_is_separate_passes(options, method, distillation):
    slow = small(**options).train()
    fast = copy.deepcopy(slow)
    every = slow.distinct_width_mults()[:: len(slow.distinct_width_mults()) // 10]
    widths = sample_widths(load_methods()[method], WIDTHS, torch.Generator().manual_seed(0), every)
    losses, _ = backward_widths(slow, *batch(), widths, distillation=distillation)
    fast_losses, _ = backward_one_pass(fast, *batch(), widths, distillation=distillation)
    torch.testing.assert_close(fast_losses, losses, rtol=1e-12, atol=1e-12)
    assert (gradient(fast) - gradient(slow)).norm() <= 1e-12 * gradient(slow).norm()
    for one, other in zip(slow.buffers(), fast.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)


def test_thirty_steps_end_at_the_same_weights():
    """With a learning rate that keeps this deep, tiny network from magnifying rounding errors by itself."""
    torch.manual_seed(0)
    slow = create_model("mobilenet_v2", input_shape=(3, 16, 16), num_classes=3, base_width_mult=0.2).train()
    fast = copy.deepcopy(slow)
    for model, backward in ((slow, backward_widths), (fast, backward_one_pass)):
        optimizer = torch.optim.SGD(model.parameters(), lr=3e-4, momentum=0.9, weight_decay=1e-3)
        for step in range(30):
            optimizer.zero_grad()
            generator = torch.Generator().manual_seed(step)
            backward(model, *batch(16, seed=step), sample_widths(load_methods()["awn_rs"], WIDTHS, generator))
            optimizer.step()
    weights, others = (torch.cat([weight.flatten() for weight in model.parameters()]) for model in (slow, fast))
    assert (weights - others).norm() <= 1e-11 * weights.norm()
    # One by one they may not be compared: the shift of a linear bottleneck has no gradient but rounding errors.


def test_weights_above_the_staircase_start_at_zero():
    model = create_model("mobilenet_v2", input_shape=(3, 32, 32))
    for layer in model.modules():
        if isinstance(layer, TriangularConv2d) and not layer.depthwise:
            assert not layer.weight[layer.mask.expand_as(layer.weight) == 0].any()
            assert layer.weight.std() > 0.01


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}, {"layer": "sliced", "norm": "switchable"}])
@pytest.mark.parametrize("fold_bn", [False, True])
def test_a_width_as_a_plain_network(options, fold_bn):
    model = small(**options, **({"switches": [1.0, 0.4]} if "norm" in options else {})).eval()
    images, _ = batch()
    with torch.no_grad():
        for width_mult in (1.0, 0.4):
            model.set_width_mult(width_mult)
            found = extract(model, width_mult, fold_bn=fold_bn)(images)
            torch.testing.assert_close(found, model(images), rtol=1e-9, atol=1e-9)


def test_widening_step_by_step():
    model = small().eval()
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
    model = small(depth_mult=depth_mult)
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
    assert model.eval()(batch()[0]).shape == (4, 3)


def test_the_last_convolution_can_follow_the_width():
    fixed, slim = small(layer="sliced"), small(layer="sliced", slim_last=True)
    for model in (fixed, slim):
        model.set_width_mult(0.5)
    assert fixed.channels["last"].active == fixed.channels["last"].full == 1280
    assert (slim.channels["last"].full, slim.channels["last"].active) == (256, 128)
    assert slim.eval()(batch()[0]).shape == (4, 3)


def test_the_stem_can_be_chosen_whatever_the_resolution():
    sides = {}
    for stem in ("by_size", "small", "large"):
        model = create_model("mobilenet_v2", input_shape=(3, 64, 64), base_width_mult=0.1, stem=stem)
        sides[stem] = output_positions(model)["last.conv"]
    assert sides == {"by_size": 64, "small": 64, "large": 4}
