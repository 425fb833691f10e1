"""One width as a plain network, against the model itself and against a network written by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from awnlib.deploy.extract import extract
from awnlib.layers import SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel
from tests.reference import float64, plain_lenet, shake_norm, small_lenet

FAMILIES = [
    pytest.param({"layer": layer, "norm": norm, "affine": affine}, id=f"{layer} {norm} {affine}")
    for layer in ("triangular", "sliced")
    for norm, affine in (("shared", "shared"), ("switchable", "private"), ("switchable", "shared"))
]
FAMILIES.append(pytest.param({"layer": "sliced", "average_inputs": True}, id="sliced averaged"))
VECTOR = {"conv1": 0.4, "conv2": 1.0, "conv3": 0.5}


class SmallResidual(SlimmableModel):
    """An inverted residual block, then a block with a convolution as shortcut, for 8x8 images."""

    NAMES = ("stem", "hidden", "last")

    def __init__(self, spec):
        channels = spec.make_channels(**dict(zip(self.NAMES, (5, 30, 9), strict=True)))
        super().__init__(spec, channels)
        stem, hidden, last = channels.values()
        self.stem = self.with_norm(spec.input_shape[0], stem, 3, padding=1)
        self.expand = self.with_norm(stem, hidden, 1)
        self.depthwise = self.with_norm(hidden, hidden, 3, padding=1, groups=hidden.full)
        self.project = self.with_norm(hidden, stem, 1)
        self.wide = self.with_norm(stem, last, 3, stride=2, padding=1)
        self.shortcut = self.with_norm(stem, last, 1, stride=2)
        self.classifier = SlimmableLinear(last, spec.num_classes)

    def with_norm(self, inputs, outputs, kernel_size, **options):
        return nn.Sequential(self.spec.conv(inputs, outputs, kernel_size, **options), self.spec.norm_layer(outputs))

    def first(self, images):
        return self.stem(images)

    def features(self, images):
        x = F.relu6(self.first(images))
        x = x + self.project(F.relu6(self.depthwise(F.relu6(self.expand(x)))))
        x = F.relu(self.wide(F.max_pool2d(x, 2)) + self.shortcut(F.max_pool2d(x, 2)))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)


def small_residual(kind=SmallResidual, **options):
    torch.manual_seed(0)
    model = kind(ModelSpec(**{"name": "small_residual", "input_shape": (3, 8, 8), "num_classes": 4, **options}))
    for module in model.modules():
        shake_norm(module)
    return model


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def images_of(model, size=3):
    return torch.randn(size, *model.spec.input_shape, generator=torch.Generator().manual_seed(1))


def set_width(model, width):
    model.set_widths(width) if isinstance(width, dict) else model.set_width_mult(width)


def flops(network, images):
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops()


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [0.25, 0.6, 1.0, VECTOR], ids=str)
@pytest.mark.parametrize("options", FAMILIES)
def test_it_is_the_network_that_one_would_write_by_hand(options, width):
    model = small_lenet(**options).eval()
    network = extract(model, width)
    set_width(model, width)
    by_hand = plain_lenet(model)
    close(list(network.state_dict().values()), list(by_hand.state_dict().values()))
    assert flops(network, images_of(model)) == flops(by_hand, images_of(model))
    folded = extract(model, width, fold_bn=True)
    assert flops(folded, images_of(model)) == flops(by_hand, images_of(model))
    without_norms = [layer for layer in by_hand if not isinstance(layer, nn.BatchNorm2d)]
    biases = sum(conv.channels_out.active for conv in (model.conv1, model.conv2, model.conv3))
    assert numel(folded) == numel(nn.Sequential(*without_norms)) + biases


def numel(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_is(training):
    model = small_lenet(layer="sliced", norm="switchable").train(training)
    model.set_widths(VECTOR)
    before, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    network = extract(model, 1.0)
    assert model.training is training
    assert [c.width_mult for c in model.channels.values()] == list(VECTOR.values())
    assert torch.equal(torch.get_rng_state(), rng)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.zero_()
    close(model.state_dict(), before)


def test_the_network_can_be_saved_exported_and_trained():
    model = small_lenet()
    images = images_of(model)
    network, other = extract(model, 0.5, fold_bn=True), extract(small_lenet(seed=1), 0.5, fold_bn=True)
    other.load_state_dict(network.state_dict())
    close(other(images), network(images))
    close(torch.export.export(network, (images,)).module()(images), network(images))
    network.train()(images).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_wrong_widths():
    model = small_lenet(layer="sliced", norm="switchable", switches=[0.5])
    with pytest.raises(ValueError, match=r"\[0\.25, 1\], found 0\.1"):
        extract(model, 0.1)
    with pytest.raises(ValueError, match="a width vector names conv1, conv2, conv3, found conv1"):
        extract(model, {"conv1": 0.5})
    with pytest.raises(ValueError, match=r"no BN statistics for width_mult 0\.6: the largest is 0\.5"):
        extract(model, 0.6)


class NormAfterRelu(SmallResidual):
    def first(self, images):
        conv, norm = self.stem
        return norm(F.relu(conv(images)))


class ConvReadTwice(SmallResidual):
    def first(self, images):
        conv, norm = self.stem
        x = conv(images)
        return norm(x) + x


class CalledTwice(SmallResidual):
    def first(self, images):
        return self.stem(images) + self.stem(images)


@pytest.mark.parametrize(
    ("kind", "found"), [(NormAfterRelu, "relu"), (ConvReadTwice, "stem_0"), (CalledTwice, "stem_0")]
)
def test_only_the_norm_of_one_convolution_can_be_folded(kind, found):
    model = small_residual(kind)
    message = rf"stem\.1 cannot be folded: .* the output of one convolution that nothing else reads, found {found}"
    with pytest.raises(ValueError, match=message):
        extract(model, 0.5, fold_bn=True)
    images = images_of(model)
    model.eval().set_width_mult(0.5)
    close(extract(model, 0.5)(images), model(images))


def test_a_slice_between_two_switches_has_their_interpolated_statistics():
    model = small_lenet(layer="sliced", norm="switchable").eval()
    for _, norm in model.norms():
        for own in norm.norms:
            shake_norm(own)
    model.set_between_switches("interpolated")
    images = torch.randn(4, *model.spec.input_shape)
    model.set_width_mult(0.6)
    torch.testing.assert_close(extract(model, 0.6, fold_bn=True)(images), model(images))


@pytest.mark.parametrize("fold_bn", [False, True])
@pytest.mark.parametrize(("stem", "stride"), [(15, 1), (16, 2)])
def test_shortcuts_of_few_channels_can_be_trained_on_any_cpu(stem, stride, fold_bn):
    """A strided convolution is what other tools know best, so that it stays where the fault is not."""
    model = small_residual(channels={"stem": stem, "hidden": 18, "last": 9}).eval()
    images = images_of(model)
    network = extract(model, 1.0, fold_bn=fold_bn)
    assert network.get_submodule("shortcut.0").stride == (stride, stride)
    close(network(images), model(images))


class ShortcutTwice(SmallResidual):
    def first(self, images):
        x = self.stem(images)
        return x + self.project(self.expand(x)) + (self.shortcut(x) + self.shortcut(2 * x)).mean()


def test_a_shortcut_that_is_called_twice_is_strided_twice():
    model = small_residual(ShortcutTwice).eval()
    network = extract(model, 0.5)
    model.set_width_mult(0.5)
    close(network(images_of(model)), model(images_of(model)))
