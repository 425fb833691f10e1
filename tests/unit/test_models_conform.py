"""What every network of the library promises, asked of each file of `awnlib/models/`.

    pytest tests/unit/test_models_conform.py tests/unit/test_saving.py -k my_model

asks it of one that is new. Nothing here knows a model by its name. What needs labels or a linear head is asked of
classifiers alone; other models are trained by the suite of the tasks that they are for.
"""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.layers import SlimmableConv2d, SlimmableLinear
from awnlib.layers.triangle import Staircase
from awnlib.model_cost import cost, output_positions
from awnlib.models import create_structure, model_names
from awnlib.tasks.classification import backward_one_pass, backward_widths
from awnlib.training.methods import load_methods
from awnlib.training.objectives import sample_widths
from tests.reference import float64, is_classifier, plain_structure, small_model

WIDTHS = [1.0, 0.75, 0.5, 0.35]
MODELS = pytest.mark.parametrize("name", model_names())
CLASSIFIERS = pytest.mark.parametrize("name", [name for name in model_names() if is_classifier(name)])
LAYERS = pytest.mark.parametrize("layer", ["triangular", "sliced"])
FAMILIES = pytest.mark.parametrize(
    "family",
    [
        pytest.param({"layer": layer, "norm": norm, "affine": affine}, id=f"{layer} {norm} {affine}")
        for layer in ("triangular", "sliced")
        for norm, affine in (("shared", "shared"), ("switchable", "private"), ("switchable", "shared"))
    ],
)
ANY_WIDTH = pytest.mark.parametrize(
    "options", [{}, {"dense_base": True}, {"divisor": 2, "stem": "large"}], ids=["plain", "dense base", "large stem"]
)
MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def batch(size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 16, 16, generator=generator), torch.randint(3, (size,), generator=generator)


def some_widths(model, num=8):
    """Widths that give different networks: all of a narrow model, about as many as wanted of others, both ends."""
    widths = model.distinct_width_mults()
    return [*widths[:: max(1, len(widths) // num)], 1.0]


def uneven(model):
    """A width vector: another multiplier for each dimension and its neighbours."""
    return {name: (0.3, 1.0, 0.55, 0.8)[index % 4] for index, name in enumerate(model.channels)}


def slimmable_layers(model):
    return {
        name: layer for name, layer in model.named_modules() if isinstance(layer, SlimmableConv2d | SlimmableLinear)
    }


@torch.no_grad()
def answer(model, images, width):
    model.set_width(width)
    return model(images)


def of_head(model):
    """The head, and the layers that it may consist of."""
    return set(model.head.modules())


def close(found, expected, tolerance=1e-9):
    assert found.shape == expected.shape
    assert (found - expected).norm() <= tolerance * expected.norm()


# --- dimensions ------------------------------------------------------------------------------------------------------


def check_dimensions(model):
    """Layers hold the model's own `Channels`, or ones that no width changes; each is some layer's output."""
    own = {id(channels) for channels in model.channels.values()}
    ends = [end for layer in slimmable_layers(model).values() for end in (layer.channels_in, layer.channels_out)]
    assert all(id(channels) in own or channels.fixed for channels in ends)
    assert own == {id(layer.channels_out) for layer in slimmable_layers(model).values()} - {id(model.head.channels_out)}
    assert all(id(norm.channels) in own for _, norm in model.norms())
    assert all(channels.name == name for name, channels in model.channels.items())


@MODELS
@LAYERS
def test_layers_hold_the_dimensions_of_their_own_model(name, layer):
    model = small_model(name, layer=layer)
    twin, images = copy.deepcopy(model.eval()), batch()[0]
    for each in (model, twin, model.view()):
        check_dimensions(each)
    twin.set_width_mult(0.5)
    assert all(channels.active == channels.full for channels in model.channels.values())
    assert torch.equal(answer(model, images, 0.5), answer(twin, images, 0.5))
    before = [parameter.clone() for parameter in twin.parameters()]
    for parameter in model.parameters():
        parameter.data.zero_()
    assert all(map(torch.equal, twin.parameters(), before))


@MODELS
def test_each_dimension_has_a_width_of_its_own(name):
    """Layers that do not agree on it cannot be computed."""
    model, (images, _) = small_model(name, layer="sliced").eval(), batch(1)
    for narrow in model.channels:
        widths = {**dict.fromkeys(model.channels, 1.0), narrow: 0.5}
        assert answer(model, images, widths).isfinite().all()
        assert [c.active for c in model.channels.values()] == [c.count(widths[c.name]) for c in model.channels.values()]


@MODELS
@pytest.mark.parametrize("width", [0.1, 1.1, {"nowhere": 0.5}, {}], ids=str)
def test_wrong_widths_change_nothing(name, width):
    model = small_model(name)
    model.set_width_mult(0.7)
    before = [channels.active for channels in model.channels.values()]
    with pytest.raises(ValueError, match=r"found (0\.1|1\.1|nowhere|nothing)$"):
        model.set_width(width)
    assert [channels.active for channels in model.channels.values()] == before


def check_distinct(model, include=(), grid=997):
    """Every network of the range once: ends exact, rising, no count twice, none forgotten."""
    widths, low = model.distinct_width_mults(include), model.spec.min_width_mult
    assert widths == sorted(widths)
    assert widths[0] == low
    assert widths[-1] == 1.0 or len(widths) == 1
    assert len({counts(model, width_mult) for width_mult in widths}) == len(widths)
    every = [low + (1 - low) * i / grid for i in range(grid)]
    assert {counts(model, width_mult) for width_mult in every} <= {counts(model, width_mult) for width_mult in widths}


def counts(model, width_mult):
    return tuple(channels.count(width_mult) for channels in model.channels.values())


@MODELS
@pytest.mark.parametrize("base_width_mult", [0.5, 2**0.5])
@pytest.mark.parametrize("divisor", [1, 8])
def test_channels_follow_base_and_divisor(name, base_width_mult, divisor):
    plain = plain_structure(name).channels
    model = create_structure(name, num_classes=9, base_width_mult=base_width_mult, divisor=divisor)
    for key, channels in model.channels.items():
        exact, unit = base_width_mult * plain[key].full, divisor * channels.factor
        assert abs(channels.full - exact) < unit
        assert channels.full >= 0.9 * exact - 0.5 * channels.factor
        assert all(channels.count(width_mult) % unit == 0 for width_mult in (0.25, 0.4, 0.77, 1.0))
    check_distinct(model, grid=101)


@MODELS
def test_counts_can_be_chosen_one_by_one(name):
    plain = small_model(name)
    chosen = {key: channels.full + 3 for key, channels in plain.channels.items()}
    model = small_model(name, channels=chosen).eval()
    assert {key: channels.full for key, channels in model.channels.items()} == chosen
    assert answer(model, batch()[0], 0.5).shape[:2] == (4, 3)
    first = next(iter(chosen))
    one = {key: channels.full for key, channels in small_model(name, channels={first: 11}).channels.items()}
    assert one == {key: 11 if key == first else channels.full for key, channels in plain.channels.items()}
    with pytest.raises(ValueError, match=rf"{name} has no channels nowhere \(it has: {', '.join(chosen)}\)"):
        small_model(name, channels={"nowhere": 11})
    with pytest.raises(ValueError, match=rf"{name} has no channels nowhere"):
        small_model(name, norm="switchable", switches={"nowhere": 0.5})


@MODELS
def test_depth_repeats_blocks(name):
    plain = plain_structure(name)
    if not plain.stage_blocks:
        with pytest.raises(ValueError, match=f"{name} has no blocks to repeat: depth_mult must be 1, found 2"):
            create_structure(name, depth_mult=2)
        return
    deep = small_model(name, depth_mult=2)
    lengths = [(len(stage), len(other)) for stage, other in zip(plain.stage_blocks, deep.stage_blocks, strict=True)]
    assert all(longer in (length, 2 * length) for length, longer in lengths)
    assert any(longer == 2 * length for length, longer in lengths)
    for model in (plain, deep):
        owned = [key for stage in model.stage_blocks for block in stage for key in block]
        assert len(set(owned)) == len(owned)
        assert set(owned) <= set(model.channels)
    check_dimensions(deep)
    check_prefixes(deep, batch()[0], [0.4])
    if is_classifier(name):
        check_one_pass(deep, [1.0, 0.4])


# --- any-width networks ----------------------------------------------------------------------------------------------


@torch.no_grad()
def outputs_of(model, images, width):
    """What every layer gives, the features and the layers of torch included, without the head's outputs."""
    outputs, hooks, slimmable = {}, [], slimmable_layers(model)
    for name, module in model.named_modules():
        layer = name in slimmable or not (list(module.children()) or "parametrizations" in name)
        if layer and module not in of_head(model):
            hooks.append(module.register_forward_hook(lambda _, __, y, name=name: outputs.update({name: y})))
    model.set_width(width)
    outputs["features"] = model.features(images)
    for hook in hooks:
        hook.remove()
    return outputs


def check_prefixes(model, images, widths, tolerance=1e-9):
    """What every layer gives at a width are the first of its channels at full width."""
    full = outputs_of(model, images, 1.0)
    assert set(full) > {key for key, layer in slimmable_layers(model).items() if layer not in of_head(model)}
    for width in widths:
        for name, found in outputs_of(model, images, width).items():
            assert (found - full[name][:, : found.shape[1]]).norm() <= tolerance * full[name].norm() > 0, name


@MODELS
@ANY_WIDTH
@MODES
def test_features_of_every_width_are_the_first_ones_of_full_width(name, options, training):
    model = small_model(name, **options).train(training)
    check_prefixes(model, batch()[0], some_widths(model))


@MODELS
def test_float32_features_are_so_up_to_rounding(name):
    model = small_model(name).float()
    check_prefixes(model, batch()[0].float(), WIDTHS, tolerance=1e-4)


@MODELS
@MODES
def test_sliced_features_change_with_the_width(name, training):
    """But for what reads the image, which has all its colours at every width."""
    model, (images, _) = small_model(name, layer="sliced").train(training), batch()
    full, half = (outputs_of(model, images, width) for width in (1.0, 0.4))
    for key, layer in slimmable_layers(model).items():
        if layer in of_head(model) or (isinstance(layer, SlimmableConv2d) and layer.groups > 1):
            continue
        expected = full[key][:, : half[key].shape[1]]
        if layer.channels_in.fixed:
            close(half[key], expected)
        else:
            assert (half[key] - expected).norm() > 0.01 * expected.norm()


def check_one_pass(model, widths, distillation=False):
    """Losses, gradients and statistics of one training step, up to rounding that deep, tiny networks magnify."""
    slow, fast = model.train(), copy.deepcopy(model)
    losses, _ = backward_widths(slow, *batch(), widths, distillation=distillation)
    fast_losses, _ = backward_one_pass(fast, *batch(), widths, distillation=distillation)
    close(fast_losses, losses, 1e-10)
    close(*(flat(parameter.grad for parameter in model.parameters()) for model in (fast, slow)), 1e-10)
    for one, other in zip(slow.buffers(), fast.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-11, atol=1e-12)


@CLASSIFIERS
@ANY_WIDTH
@pytest.mark.parametrize(
    ("method", "distillation"),
    [("awn", False), ("awn_rs", True), ("awn_all", False), ("awn_all", True)],
    ids=["awn", "awn_rs distillation", "awn_all", "awn_all distillation"],
)
def test_one_pass_is_separate_passes(name, options, method, distillation):
    model = small_model(name, **options)
    widths = sample_widths(load_methods()[method], WIDTHS, torch.Generator().manual_seed(0), some_widths(model))
    check_one_pass(model, widths, distillation)


@CLASSIFIERS
def test_weights_above_the_staircase_are_zero_and_stay_so(name):
    """After some steps with momentum and weight decay, which in one pass end where separate passes do.

    The weights of all layers together: the shift of a linear bottleneck has no gradient but rounding errors. Few steps:
    each of them multiplies those by a hundred.
    """
    slow = small_model(name).train()
    fast, start = copy.deepcopy(slow), flat(slow.parameters())
    above = {key: layer.mask.expand_as(layer.weight) == 0 for key, layer in triangular_layers(slow).items()}
    assert any(zeros.any() for zeros in above.values())
    for model, backward in ((slow, backward_widths), (fast, backward_one_pass)):
        optimizer = torch.optim.SGD(model.parameters(), lr=3e-4, momentum=0.9, weight_decay=1e-3)
        for step in range(4):
            for key, layer in triangular_layers(model).items():
                assert torch.equal(layer.weight == 0, above[key])
                assert layer.weight.std() > 0.01
            optimizer.zero_grad()
            generator = torch.Generator().manual_seed(step)
            backward(model, *batch(8, seed=step), sample_widths(load_methods()["awn_rs"], WIDTHS, generator))
            optimizer.step()
    moved, expected = (flat(model.parameters()) - start for model in (fast, slow))
    assert expected.norm() > 1e-3 * start.norm()
    close(moved, expected, 1e-7)


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def triangular_layers(model):
    return {
        key: layer for key, layer in slimmable_layers(model).items() if isinstance(layer, Staircase) and layer.limits
    }


@CLASSIFIERS
def test_the_sweep_of_one_pass_is_that_of_each_width(name, monkeypatch):
    model = small_model(name)
    fast = sweep_widths(model, [batch()], WIDTHS)
    monkeypatch.setattr("awnlib.one_pass.is_any_width", lambda model: False)
    for one, other in zip(fast, sweep_widths(model, [batch()], WIDTHS), strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), rel=1e-9)
        assert one == other


@CLASSIFIERS
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels last"])
@pytest.mark.parametrize(("options", "stem"), [({}, "small"), ({"dense_base": True, "divisor": 2}, "large")], ids=str)
def test_widening_step_by_step(name, channels_last, options, stem):
    """From every width to the next, and anew with other images, in any order, to the model's answer at each width."""
    model = small_model(name, stem=stem, **options).eval()
    network = AnytimeNetwork(model, channels_last=channels_last)
    for size, widths in ((4, some_widths(model)), (1, [0.7, 0.4]), (7, [0.35, 0.5, 0.51, 0.3, 1.0])):
        images, _ = batch(size, seed=size)
        network.start(images)
        for width_mult in widths:
            close(network.logits(width_mult), answer(model, images, width_mult))


@CLASSIFIERS
@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels last"])
def test_widening_in_float32(name, channels_last):
    model, images = small_model(name).float().eval(), batch()[0].float()
    network = AnytimeNetwork(model, channels_last=channels_last)
    network.start(images)
    for width_mult in (0.25, 0.3, 0.8, 0.5, 1.0):
        close(network.logits(width_mult), answer(model, images, width_mult), 1e-4)


# --- networks of every family ----------------------------------------------------------------------------------------


def flops(network, images):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops()


@MODELS
@FAMILIES
def test_a_width_as_a_plain_network(name, family):
    """Its outputs are the model's, and nothing of the library is left in it."""
    large = family["affine"] == "private"
    model, (images, _) = small_model(name, stem="large" if large else "small", **family).eval(), batch()
    for width, fold_bn in ((1.0, False), (0.4, True), (uneven(model), large)):
        network = extract(model, width, fold_bn=fold_bn)
        close(network(images), answer(model, images, width))
        assert all(type(module).__module__.startswith("torch.") for module in network.modules())
        assert not (fold_bn and any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()))
        assert not any(module.training for module in network.modules())
        assert all(tensor.is_contiguous() for tensor in network.state_dict().values())
        assert "awnlib" not in network.code


@MODELS
@LAYERS
def test_costs_are_those_of_the_plain_network(name, layer):
    """Torch counts what is computed; zeros above a staircase are neither MACs nor parameters."""
    model, (images, _) = small_model(name, layer=layer, divisor=2).eval(), batch(1)
    positions = output_positions(model)
    for width in (1.0, 0.4, uneven(model)):
        network = extract(model, width)
        model.set_width(width)
        nonzero = {key: int(network.get_submodule(key).weight.count_nonzero()) for key in positions}
        others = sum(parameter.numel() for key, parameter in network.named_parameters() if key[:-7] not in positions)
        width_cost = cost(model, positions)
        assert 2 * width_cost.macs_dense == flops(network, images)
        assert width_cost.macs == sum(positions[key] * number for key, number in nonzero.items())
        assert width_cost.params == sum(nonzero.values()) + others


@CLASSIFIERS
def test_statistics_can_be_recalibrated_at_any_width(name):
    model = small_model(name, layer="sliced", norm="switchable", affine="shared", switches=[1.0, 0.35])
    recalibrate_bn(model, [batch(8)[0]], [1.0, 0.6, 0.35])
    rows = sweep_widths(model, [batch()], [0.35, 0.5, 1.0])
    without_norms = not list(model.norms())
    used = [row["switch_width_mult"] for row in rows if row["metric"] == "top1_pct"]
    assert used == ([None] * 3 if without_norms else [0.35, 0.6, 1.0])
