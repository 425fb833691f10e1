"""Networks made slimmable: equal bits at full width, and the masked original at smaller ones."""

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
from awnlib.layers import SlimmableConv2d
from awnlib.one_pass import is_any_width
from awnlib.torchvision_shim import import_torchvision
from tests.masked import masked_outputs, shake

WIDTHS = [0.25, 0.5, 0.75]
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def check(network, images=IMAGES, **options):
    """Convert a network and compare it with the masked original; return what it became."""
    shake(network)
    converted = to_slimmable(network, images, **{"divisor": 1, **options})
    with torch.no_grad():
        full = network(images)
        assert torch.equal(converted(images), full)
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        with torch.no_grad():
            narrow = converted(images)
        torch.testing.assert_close(narrow, masked_outputs(network, converted, images), rtol=1e-5, atol=1e-5)
        assert not torch.equal(narrow, full)
    converted.set_width_mult(1.0)
    return converted


class Block(nn.Module):
    """Convolutions, a residual sum, a concatenation, groups, a scale for each channel, and a flattened map."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.grow = nn.Conv2d(8, 12, 1)
        self.depthwise = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.grouped = nn.Conv2d(24, 8, 3, padding=1, groups=4)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))
        self.mixed = nn.Sequential(nn.BatchNorm2d(27), nn.Conv2d(27, 6, 3, stride=2, padding=2, dilation=2))
        self.head = nn.Linear(6 * 64, 5)

    def forward(self, images):
        x = self.stem(images)
        y = self.grouped(F.relu6(self.depthwise(self.grow(x))))
        x = x + self.scale * y
        return self.head(torch.flatten(F.gelu(self.mixed(torch.cat([x, images, y, y * 2], dim=1))), 1))


def test_a_block_of_everything():
    """The sum makes stem and groups one dimension: four units, each of two channels there and of three before."""
    converted = check(Block())
    assert converted.report.free == {"stem.0": 4, "mixed.1": 6}
    assert converted.report.fixed == {"head": "an output of the network"}
    assert converted.channels["fixed"].fixed
    converted.set_width_mult(0.5)
    shapes = {
        name: tuple(layer.active_weight().shape)
        for name, layer in converted.named_children()
        if name != "stem" and hasattr(layer, "active_weight")
    }
    assert shapes == {
        "grow": (6, 4, 1, 1),
        "depthwise": (12, 1, 3, 3),
        "grouped": (4, 6, 3, 3),
        "head": (5, 3 * 64),
    }
    assert tuple(converted.mixed[1].active_weight().shape) == (3, 4 + 3 + 4 + 4, 3, 3)
    assert converted.scale.shape == (4, 1, 1)


def test_the_copy_is_the_users_network():
    network = Block()
    converted = to_slimmable(network, IMAGES)
    assert isinstance(converted, Block)
    assert list(converted.state_dict()) == list(network.state_dict())
    assert [name for name, _ in converted.named_parameters()] == [name for name, _ in network.named_parameters()]
    assert type(network) is Block
    assert isinstance(network.grow, nn.Conv2d)
    other = shake(Block(), seed=3)
    converted.load_state_dict(other.state_dict())
    assert torch.equal(converted.eval()(IMAGES), other(IMAGES))
    network.load_state_dict(converted.state_dict())
    assert torch.equal(network.eval()(IMAGES), other(IMAGES))


def test_copies_views_and_pickles_have_widths_of_their_own():
    converted = to_slimmable(shake(Block()), IMAGES, divisor=1)
    converted.set_width_mult(0.5)
    expected = converted(IMAGES)
    for other in (copy.deepcopy(converted), converted.view(), pickle.loads(pickle.dumps(converted))):
        converted.set_width_mult(1.0)
        assert torch.equal(other(IMAGES), expected)
        assert other.report == converted.report
        assert isinstance(other, Block)
    assert converted.view().scale is not converted.scale
    assert converted.view().grow.weight is converted.grow.weight


def test_counts_are_multiples_of_the_divisor():
    """Eight channels are four units of two in the groups: a divisor of 4 is two units."""
    converted = to_slimmable(shake(Block()), IMAGES, divisor=4)
    counts = []
    for width_mult in (0.25, 0.5, 0.75, 1.0):
        converted.set_width_mult(width_mult)
        counts.append((converted.grouped.channels_out.active, converted.mixed[1].channels_out.active))
    assert counts == [(4, 4), (4, 4), (8, 6), (8, 6)]


@torch.no_grad()
def test_a_width_is_extracted_as_a_network_of_the_users_class():
    converted = to_slimmable(shake(Block()), IMAGES, divisor=1)
    converted.set_width_mult(0.5)
    network = extract(converted, 0.5)
    assert type(network) is Block
    assert torch.equal(network(IMAGES), converted(IMAGES))
    assert list(network.state_dict()) == list(converted.state_dict())
    assert network.scale.shape == (4, 1, 1)
    assert not [layer for layer in network.modules() if type(layer).__module__.startswith("awnlib")]
    assert not {"channels", "report"} & vars(network).keys()
    assert converted.scale.shape == (4, 1, 1)


class NormsOfAllKinds(nn.Module):
    """Norms of features and maps, without scale, over channels last, and a slope for each channel."""

    def __init__(self):
        super().__init__()
        self.conv, self.free = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False)
        self.slope = nn.PReLU(8)
        self.last = nn.LayerNorm(8, eps=1e-3, bias=False)
        self.linear, self.flat, self.head = nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, images):
        x = self.slope(self.free(self.conv(images))).permute(0, 2, 3, 1)
        return self.head(self.flat(self.linear(self.last(x)).mean(dim=(1, 2))))


@torch.no_grad()
def test_norms_of_all_kinds_are_extracted():
    converted = to_slimmable(shake(NormsOfAllKinds()), IMAGES, divisor=1)
    assert converted.report.free == {"conv": 8, "linear": 6}
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        network = extract(converted, width_mult)
        assert torch.equal(network(IMAGES), converted(IMAGES))
        assert {type(network.flat), type(network.free)} == {nn.BatchNorm1d, nn.BatchNorm2d}
        assert list(network.state_dict()) == list(converted.state_dict())


@torch.no_grad()
def test_norms_are_folded_where_torch_fx_can_trace():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    converted = to_slimmable(shake(network), IMAGES, divisor=1)
    converted.set_width_mult(0.5)
    folded = extract(converted, 0.5, fold_bn=True)
    assert not [layer for layer in folded.modules() if isinstance(layer, nn.BatchNorm2d)]
    torch.testing.assert_close(folded(IMAGES), converted(IMAGES))


def small(**layers):
    """A network of four convolutions, some replaced."""
    defaults = {"start": nn.Conv2d(3, 6, 1), "first": nn.Conv2d(6, 8, 3)}
    defaults |= {"second": nn.Conv2d(8, 8, 3), "third": nn.Conv2d(8, 4, 1)}
    return shake(nn.Sequential(OrderedDict({**defaults, **layers})))


FIXED = {
    "a norm over groups": ({"second": nn.GroupNorm(2, 8)}, "first", "no rule for the operation group_norm in second"),
    "an unknown class": (
        {"second": nn.ConvTranspose2d(8, 8, 2)},
        "second",
        "ConvTranspose2d is no class that is known",
    ),
    "a shuffle": ({"second": nn.ChannelShuffle(2)}, "first", "no rule for the operation channel_shuffle in second"),
    "a softmax": ({"second": nn.Softmax(dim=1)}, "first", "it runs over the channels: softmax in second"),
    "sizes as numbers": (
        {"second": nn.Sequential(nn.Unflatten(1, (8, 1)), nn.Flatten(1, 2))},
        "first",
        "the network fails where it is narrow: RuntimeError",
    ),
    "an output": ({}, "third", "an output of the network"),
}


@pytest.mark.parametrize("case", FIXED)
def test_what_is_not_understood_is_fixed_with_its_reason(case):
    layers, name, reason = FIXED[case]
    converted = check(small(**layers))
    assert reason in converted.report.fixed[name]
    assert reason in str(converted.report)
    assert "start" in converted.report.free


class ByNumberOfChannels(nn.Module):
    """What is divided by the root of how many channels there are, as attention does it."""

    def __init__(self):
        super().__init__()
        self.start, self.conv, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, images):
        x = self.conv(self.start(images))
        return self.head(x / x.shape[1] ** 0.5)


class Between(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between, count=8, read=8, layer=None):
        super().__init__()
        self.start, self.conv, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, count, 1), nn.Conv2d(read, 4, 1)
        self.between, self.layer = between, layer

    def forward(self, images):
        return self.head(self.between(self.conv(self.start(images)), self.layer))


FOLLOWS = {
    "deviation of a map": lambda x, _: x / x.std(dim=(2, 3), keepdim=True),
    "deviation of a map of channels last": lambda x, _: (
        x.permute(0, 2, 3, 1) / x.std(dim=(2, 3))[:, None, None]
    ).permute(0, 3, 1, 2),
    "limits by a tensor": lambda x, _: torch.clamp(x, x.mean(dim=(2, 3), keepdim=True) - 0.1, x.amax((2, 3), True) / 2),
    "softmax over a map": lambda x, _: torch.softmax(x.flatten(2), dim=-1).unflatten(2, (16, 16)),
    "a part of a map": lambda x, _: F.pad(x[:, :, 2:-2, ::2], (4, 4, 2, 2)),
    "one row": lambda x, _: x[:, :, 0][:, :, None] + x,
    "a choice": lambda x, _: torch.where(x > 0, x, 0.1 * x),
    "interpolated": lambda x, _: F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear"),
    "parts of a map": lambda x, _: torch.cat([part * 2 for part in x.split(8, dim=2)], dim=2),
    "halves of a map": lambda x, _: sum(x.chunk(2, dim=3)),
}


@pytest.mark.parametrize("case", FOLLOWS)
def test_what_is_understood_follows(case):
    assert check(Between(FOLLOWS[case])).report.free == {"start": 6, "conv": 8}


STAYS = {
    "one channel expanded": (lambda x, _: x.expand(-1, 8, -1, -1), 1, 8),
    "deviation of everything": (lambda x, _: x / x.std(), 8, 8),
    "reversed channels": (lambda x, _: x.flip(1), 8, 8),
    "repeated channels": (lambda x, _: x.repeat(1, 2, 1, 1), 8, 16),
    "pixels out of channels": (lambda x, _: F.pixel_shuffle(x, 2), 8, 2),
    "a mean over channels": (lambda x, _: x - x.mean(dim=1, keepdim=True), 8, 8),
    "the largest channel": (lambda x, _: x * (x.argmax(dim=1, keepdim=True) > 3), 8, 8),
    "one of the channels": (lambda x, _: x * x[:, 3:4], 8, 8),
    "channels added to rows": (lambda x, _: x + x.mean(dim=(2, 3))[:, None, :, None].repeat(1, 1, 2, 1), 8, 8),
    "attention": (
        lambda x, _: (x.flatten(2) @ x.flatten(2).transpose(1, 2) @ x.flatten(2)).unflatten(2, (16, 16)),
        8,
        8,
    ),
    "written to": (lambda x, _: x.clone().index_fill_(1, torch.tensor([0]), 0.0), 8, 8),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_is_not_understood_stays(case):
    converted = check(Between(*STAYS[case]))
    assert converted.report.free == {"start": 6}
    assert converted.report.fixed["conv"]
    assert "computes something else" not in converted.report.fixed["conv"]


def test_frozen_norms_follow_by_their_buffers():
    norm = import_torchvision().ops.FrozenBatchNorm2d(8)
    nn.init.uniform_(norm.weight)
    converted = check(Between(lambda x, layer: layer(x), layer=norm))
    assert converted.report.free == {"start": 6, "conv": 8}
    converted.set_width_mult(0.5)
    assert extract(converted, 0.5).layer.running_var.shape == (4,)


def test_numbers_of_channels_in_a_forward_are_found_out():
    converted = check(ByNumberOfChannels())
    assert converted.report.free == {"start": 6}
    assert "computes something else where it is narrow" in converted.report.fixed["conv"]


def test_layers_with_hooks_stay():
    network = small()
    network.second.register_forward_hook(lambda layer, inputs, output: output * 2)
    converted = check(network)
    assert converted.report.fixed["second"] == "it has hooks, which would be lost; it stays as it is"
    assert list(converted.report.free) == ["start"]


def test_modules_are_kept_at_full_width_as_asked():
    converted = check(small(), keep=["first"])
    assert converted.report.free == {"start": 6, "second": 8}
    assert converted.report.fixed["first"] == "kept as asked"
    with pytest.raises(ValueError, match="keep: the network has no modules fourth"):
        to_slimmable(small(), IMAGES, keep=["fourth"])


def test_modes_and_frozen_parameters_stay():
    network = small().train()
    network.first.weight.requires_grad_(False)
    converted = to_slimmable(network, IMAGES)
    assert converted.training
    assert converted.second.training
    assert [parameter.requires_grad for parameter in converted.parameters()] == [
        name != "first.weight" for name, _ in converted.named_parameters()
    ]


class OwnNames(nn.Module):
    """A method `features` and a layer `head`: names that other networks of the library use for something else."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)

    def features(self, images):
        return F.relu(self.conv(images))

    def forward(self, images):
        return self.head(self.features(images))


def test_a_networks_own_features_and_head_stay():
    converted = check(OwnNames())
    assert converted.features(IMAGES).shape[1] == 8
    assert isinstance(converted.head, SlimmableConv2d)
    assert not is_any_width(converted)


def test_names_that_stand_for_something_else_are_refused():
    network = OwnNames()
    network.channels = 8
    with pytest.raises(
        ValueError, match=r"OwnNames has names .*: channels; rename them, or convert .*Sequential\(model\)"
    ):
        to_slimmable(network, IMAGES)
    assert to_slimmable(nn.Sequential(network), IMAGES).report.free == {"0.conv": 8}


def test_networks_without_a_free_dimension_are_refused():
    with pytest.raises(ValueError, match=r"no dimension of Sequential can follow the width: [^:]*0: an output of the"):
        to_slimmable(nn.Sequential(nn.Conv2d(3, 4, 1)), IMAGES)


def test_parameters_of_two_layers_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, bias=False), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1))
    network[2].weight = network[1].weight
    with pytest.raises(ValueError, match=r"1\.weight and 2\.weight are one parameter; call one layer twice instead"):
        to_slimmable(network, IMAGES)


def test_what_fails_at_full_width_is_no_matter_of_channels():
    with pytest.raises(RuntimeError, match="channels"):
        to_slimmable(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 1)), IMAGES)


def test_one_example_image_is_enough():
    assert to_slimmable(small(), IMAGES[:1]).report == to_slimmable(small(), IMAGES).report
