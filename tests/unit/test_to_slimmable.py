"""Networks made slimmable: equal bits at full width, and the masked original at smaller ones."""

import copy
import pickle

import torch
from torch import nn
from torch.nn import functional as F

from awnlib.convert.slimmable import to_slimmable
from awnlib.deploy.extract import extract
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
