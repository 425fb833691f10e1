"""WDSR: the published sizes, and an ordinary network with the same weights."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from awnlib.deploy.extract import extract
from awnlib.model_cost import cost
from awnlib.models import create_model, create_structure
from awnlib.one_pass import backward_at_full_width, channel_counts, outputs_of_prefixes, outputs_of_widths
from awnlib.settings import ConfigError
from tests.reference import float64

WIDTHS = [1.0, 0.8, 0.55, 0.5]
FAMILIES = [{"layer": "sliced"}, {}, {"dense_base": True}]


@pytest.fixture(autouse=True)
def _float64():
    with float64():
        yield


def wdsr(n=8, num_blocks=2, scale=2, **changes):
    """A small network whose weights are not those of its start: scales and biases that differ."""
    own = {key: changes.pop(key) for key in ("block", "skip") if key in changes}
    spec = {"input_shape": (3, 12, 12), "num_classes": 3 * scale**2, "min_width_mult": 0.5, **changes}
    torch.manual_seed(0)
    model = create_model("wdsr", base_width_mult=n / 32, options={"num_blocks": num_blocks, **own}, **spec)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "original1" not in name:
                parameter.add_(0.3 * torch.rand_like(parameter))
    return model


def images_of(height=12, width=12, num=2):
    return torch.randn(num, 3, height, width, generator=torch.Generator().manual_seed(1))


# --- sizes -----------------------------------------------------------------------------------------------------------


def plain(n, num_blocks=8, block="a"):
    options = {"num_blocks": num_blocks, "block": block}
    return create_structure(
        "wdsr",
        layer="sliced",
        input_shape=(3, 48, 48),
        num_classes=12,
        base_width_mult=n / 32,
        options=options,
    )


def stored(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_as_many_parameters_as_published():
    """The authors' README has 16 blocks for x2: 1,190,100; 32 channels and 8 blocks: .60 M."""
    assert stored(plain(32, num_blocks=16)) == 1_190_100
    assert stored(plain(32)) == 597_716
    assert stored(plain(64, block="b")) == 605_988


@pytest.mark.parametrize(
    ("n", "block", "gmacs"),
    [(32, "a", 1.371), (40, "a", 2.138), (48, "a", 3.075), (56, "a", 4.181), (64, "a", 5.458), (64, "b", 1.377)],
)
def test_multiply_adds_are_those_of_the_formula(n, block, gmacs):
    """At 48x48 pixels, from the shapes of all convolutions; the same for every width of a wide network."""
    low = int(0.8 * n)
    own = {"a": 9 * 8 * n**2, "b": n * 6 * n + 6 * n * low + 9 * low * n}[block]
    macs = 48**2 * (9 * 3 * n + 8 * own + 9 * n * 12 + 25 * 3 * 12)
    assert macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert cost(create_on_cpu(n, block)).macs == macs


def create_on_cpu(n, block):
    """What `plain` makes, narrowed from 64 channels where a rounded count is the same."""
    full = 64 if block == "a" else n
    model = create_model("wdsr", **plain(full, block=block).spec.model_dump(exclude={"name"}))
    model.set_width_mult(n / full)
    return model


# --- against an ordinary network -------------------------------------------------------------------------------------


def normalised(layer):
    """The weights by definition, those above a staircase left out of the sum."""
    scale, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    used = direction * layer.mask if hasattr(layer, "mask") else direction
    return scale * used / used.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


def by_hand(model, images, *, skip=None):
    """The network at full width, one convolution after another."""

    def conv(layer, x):
        return F.conv2d(x, normalised(layer), layer.bias, padding=layer.kernel_size[0] // 2)

    x = conv(model.first, images)
    for block in model.blocks:
        y = conv(block.convs[0], x).relu()
        for layer in block.convs[1:]:
            y = conv(layer, y)
        x = x + y
    enlarged = conv(model.last.skip, images) if skip is None else skip
    return nn.PixelShuffle(model.last.scale)(conv(model.last.tail, x) + enlarged)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("options", [{}, {"block": "b"}, {"scale": 3}, {"depth_mult": 2}], ids=str)
def test_full_width_is_an_ordinary_network(family, options):
    model, images = wdsr(**family, **options), images_of(7, 9)
    expected = by_hand(model, images)
    assert expected.shape == (2, 3, 7 * model.last.scale, 9 * model.last.scale)
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"block": "b"}, {"skip": "bicubic"}], ids=str)
@pytest.mark.parametrize("dense_base", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["cpu", "elsewhere"])
def test_one_pass_is_a_pass_for_each_width(options, dense_base, elsewhere, monkeypatch):
    """Outputs in training and in evaluation, and gradients, to 1e-12."""
    model = wdsr(dense_base=dense_base, **options).train()
    slow, images, targets = copy.deepcopy(model), images_of(), torch.rand(2, 3, 24, 24)
    expected = []
    for width_mult in WIDTHS:
        slow.set_width_mult(width_mult)
        expected.append(slow(images))
    sum((outputs - targets).abs().mean() for outputs in expected).backward()

    def losses():
        outputs = outputs_of_prefixes(model, images, channel_counts(model, WIDTHS), "each")
        return (outputs - targets).abs().mean(dim=(1, 2, 3, 4)), outputs.detach()

    if elsewhere:  # on other devices, and when it is compiled, one convolution has the filters of all widths
        monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    _, found = backward_at_full_width(model, losses)
    torch.testing.assert_close(found, torch.stack(expected).detach(), rtol=0, atol=1e-12)
    for one, other in zip(model.parameters(), slow.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            assert (one.grad - other.grad).norm() <= 1e-12 * max(other.grad.norm(), 1.0)
    with torch.no_grad():
        swept = torch.cat([outputs for _, outputs in outputs_of_widths(model.eval(), images, WIDTHS[::-1])])
    torch.testing.assert_close(swept.flip(0), found, rtol=0, atol=1e-12)


def test_sliced_networks_differ_where_any_width_ones_agree():
    """The features of a sliced network depend on the width, so that it has no such pass."""
    model, images = wdsr(layer="sliced"), images_of()
    with pytest.raises(ValueError, match="one pass for all widths needs triangular layers"):
        backward_at_full_width(model, lambda: (torch.zeros(1), None))
    full = model.features(images)
    model.set_width_mult(0.5)
    half = model.features(images)
    assert (half - full[:, : half.shape[1]]).abs().max() > 0.1


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_weights_above_the_staircase_are_exactly_zero_under_adam(weight_decay):
    model, images = wdsr(), images_of()
    above = {
        name: layer.mask.expand_as(layer.weight) == 0
        for name, layer in model.named_modules()
        if hasattr(layer, "mask") and not layer.mask.all()
    }
    assert len(above) == 4  # the first convolution reads all colours
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=weight_decay)
    for step in range(5):
        model.set_width_mult(WIDTHS[step % 4])
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    for name, zeros in above.items():
        layer = model.get_submodule(name)
        for weight in (layer.parametrizations.weight.original1, layer.weight):
            assert torch.equal(weight == 0, zeros)


def test_rows_of_a_narrow_width_are_those_of_the_full_one():
    model = wdsr()
    layers = [layer for layer in model.modules() if hasattr(layer, "mask")]
    full = [layer.active_weight() for layer in layers]
    model.set_width_mult(0.5)
    for layer, weight in zip(layers, full, strict=True):
        half = layer.active_weight()
        assert torch.equal(half, weight[: half.shape[0], : half.shape[1]])
        torch.testing.assert_close(half.flatten(1).norm(dim=1), weight[: len(half)].flatten(1).norm(dim=1))


def test_loaded_weights_above_the_staircase_do_not_count_in_the_norm():
    model, images = wdsr(), images_of()
    state = copy.deepcopy(model.state_dict())
    for name, layer in model.named_modules():
        if hasattr(layer, "mask"):
            state[f"{name}.parametrizations.weight.original1"] += 5 * (1 - layer.mask)
    other = wdsr(depth_mult=1)
    other.load_state_dict(state)
    assert torch.equal(other(images), model(images))


# --- the enlarged image ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_fixed_skip_enlarges_as_pil_does(scale):
    """Away from the borders, which PIL cuts off and this repeats."""
    model = wdsr(scale=scale, skip="bicubic")
    image = images_of(14, 11, num=1)
    sizes = (11 * scale, 14 * scale)
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in image[0].numpy()]
    expected = np.stack([np.asarray(plane.resize(sizes, Image.Resampling.BICUBIC)) for plane in planes])
    found = nn.PixelShuffle(scale)(model.last._enlarged(image))[0].numpy()
    inside = (slice(None), slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)
    assert np.abs(found - expected).max() < 0.5


def test_the_fixed_skip_keeps_a_flat_image_and_is_not_trained():
    model = wdsr(skip="bicubic")
    flat = torch.full((1, 3, 5, 4), 0.7)
    assert model.last._enlarged(flat).sub(0.7).abs().max() < 1e-12
    model(images_of()).sum().backward()
    assert model.last.skip.weight.grad is None
    assert model.last.tail.parametrizations.weight.original1.grad is not None


def test_training_with_the_fixed_skip_begins_near_it():
    torch.manual_seed(0)
    options = {"input_shape": (3, 12, 12), "num_classes": 12, "base_width_mult": 0.25}
    model = create_model("wdsr", options={"skip": "bicubic", "num_blocks": 2}, **options)
    images = images_of()
    enlarged = nn.PixelShuffle(2)(model.last._enlarged(images))
    assert 0 < (model(images) - enlarged).norm() < 0.3 * enlarged.norm()


def test_a_width_as_a_plain_network_for_images_of_any_size():
    model = wdsr(skip="bicubic").eval()
    network = extract(model, 0.5)
    model.set_width_mult(0.5)
    for size in ((9, 5), (12, 17)):
        torch.testing.assert_close(network(images_of(*size)), model(images_of(*size)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 10}, r"wdsr needs 3 outputs for each of scale\^2 pixels that one becomes, found 10"),
        ({"options": {"blocks": 3}}, r"options.blocks: unknown key.*num_blocks"),
        ({"options": {"num_blocks": 0}}, "options.num_blocks: .*greater than or equal to 1"),
        ({"options": {"skip": "nearest"}}, "options.skip: .*'learned' or 'bicubic'"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        create_structure("wdsr", **{"input_shape": (3, 8, 8), "num_classes": 12, **changes})


def test_other_models_have_no_options_of_their_own():
    with pytest.raises(ConfigError, match=r"options\.num_blocks: unknown key"):
        create_structure("lenet_3c1l", options={"num_blocks": 3})
