"""A network of one's own, made of the library's layers and of no specification, goes through everything but files."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.channels import Channels
from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.evaluation.drift import bn_drift
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.layers import (
    SharedBatchNorm2d,
    SlimmableConv2d,
    SlimmableLinear,
    SlimmableNetwork,
    SwitchableBatchNorm2d,
    TriangularConv2d,
    TriangularLinear,
)
from awnlib.model_cost import cost, plain_params, stored_params
from awnlib.one_pass import is_any_width
from awnlib.tasks.classification import backward_one_pass, backward_widths
from awnlib.training.tracking import StatisticsTracker
from awnlib.width_transfer.costs import layer_costs, total_macs
from tests.reference import batch_statistics, count_slowly, float64

WIDTHS = [0.25, 0.5, 1.0]
TRUNK, INNER, CLASSES = 9, 6, 3
BATCHES = [
    (torch.randn(n, 2, 7, 7, generator=torch.Generator().manual_seed(n)).double(), torch.arange(n) % CLASSES)
    for n in (6, 4)
]
IMAGES = [images for images, _ in BATCHES]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def switchable(channels):
    return SwitchableBatchNorm2d(channels, [1.0, 0.5], affine="shared")


class Residual(SlimmableNetwork):
    """A convolution, a block of two that is added to its input, and a linear layer; 5x5 positions."""

    conv, norm = TriangularConv2d, SharedBatchNorm2d

    def __init__(self):
        torch.manual_seed(0)
        trunk, inner = Channels(TRUNK), Channels(INNER)
        super().__init__({"trunk": trunk, "inner": inner}, input_shape=(2, 7, 7))
        self.first, self.norm1 = self.conv(2, trunk, 3, bias=False), self.norm(trunk)
        self.grow, self.norm2 = self.conv(trunk, inner, 1, bias=False), self.norm(inner)
        self.shrink, self.norm3 = self.conv(inner, trunk, 1, bias=False), self.norm(trunk)
        self.last = SlimmableLinear(trunk, CLASSES)

    def features(self, images):
        x = F.relu(self.norm1(self.first(images)))
        x = F.relu(x + self.norm3(self.shrink(F.relu(self.norm2(self.grow(x))))))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    def forward(self, images):
        return self.last(self.features(images))


class AnyWidth(Residual):
    @property
    def head(self):
        return self.last


class Sliced(AnyWidth):
    conv, norm = SlimmableConv2d, staticmethod(switchable)


KINDS = pytest.mark.parametrize("kind", [Residual, AnyWidth, Sliced])


@torch.no_grad()
def by_hand(model, width_mult, images, normalise):
    """The outputs at a width, from blocks of the weights; `normalise(norm, x)` returns a norm's output."""
    trunk, inner = count_slowly(width_mult, TRUNK), count_slowly(width_mult, INNER)
    x = F.relu(normalise("norm1", F.conv2d(images, model.first.weight[:trunk])))
    y = F.relu(normalise("norm2", F.conv2d(x, model.grow.weight[:inner, :trunk])))
    x = F.relu(x + normalise("norm3", F.conv2d(y, model.shrink.weight[:trunk, :inner])))
    return x.mean(dim=(2, 3)) @ model.last.weight[:, :trunk].T + model.last.bias


def statistics_by_hand(model, width_mult):
    """For each norm the mean over images of the mean and the unbiased variance of their batch."""
    found = {name: [0, 0] for name, _ in model.norms()}

    def normalise(name, x):
        for index, value in enumerate(batch_statistics(x)):
            found[name][index] = found[name][index] + value * len(x) / sum(map(len, IMAGES))
        return F.batch_norm(x, None, None, training=True)

    for images in IMAGES:
        by_hand(model, width_mult, images, normalise)
    return found


def answers_by_hand(model, width_mult, images, statistics):
    def normalise(name, x):
        return F.batch_norm(x, *(value[: x.shape[1]] for value in statistics[name]))

    return by_hand(model, width_mult, images, normalise)


@KINDS
def test_recalibrated_and_swept(kind):
    model = kind()
    assert is_any_width(model) is (kind is AnyWidth)
    recalibrate_bn(model, IMAGES, [0.6, 1.0] if kind is Sliced else [1.0])
    rows = [row for row in sweep_widths(model, BATCHES, trained=[1.0]) if row["metric"] == "loss_nats"]
    assert len(rows) == 12  # at eleven widths a channel more, of 2 to 9 or of 2 to 6
    for row in rows:
        of = 0.6 if kind is Sliced and row["width_mult"] <= 0.6 else 1.0
        statistics = statistics_by_hand(model, of)
        losses = [
            F.cross_entropy(answers_by_hand(model, row["width_mult"], images, statistics), labels, reduction="sum")
            for images, labels in BATCHES
        ]
        assert row["score"] == pytest.approx(float(sum(losses)) / 10, rel=1e-10)
        assert row["switch_width_mult"] == (of if kind is Sliced else None)
        assert row["is_trained"] is (row["width_mult"] == 1.0)


def test_drift_is_that_of_the_layers():
    for kind in (Residual, Sliced):
        drift = {row["layer"]: row["drift"] for row in bn_drift(kind(), IMAGES, WIDTHS) if row["width_mult"] is None}
        assert drift["norm1"] < 1e-6  # reads the images
        assert all((drift[name] > 0.05) is (kind is Sliced) for name in ("norm2", "norm3"))
        assert drift["norm2"] > 0.05 or drift["norm2"] < 1e-6


def test_costs_are_those_counted_by_hand():
    model = Sliced()
    model.set_width_mult(0.5)
    trunk, inner = 5, 3  # 4.5 and 3, halves up
    weights = 9 * 2 * trunk, trunk * inner, inner * trunk, trunk * CLASSES
    macs = 25 * sum(weights[:3]) + weights[3]
    found = cost(model)
    assert (found.macs, found.macs_dense) == (macs, macs)
    assert found.params == sum(weights) + CLASSES + 2 * (trunk + inner + trunk)
    full = 9 * 2 * 9 + 9 * 6 + 6 * 9 + 9 * 3 + 3
    norms = 9 + 6 + 9
    assert stored_params(model) == full + 2 * norms + 2 * norms + 2 * (5 + 3 + 5)
    assert plain_params(model) == full + 4 * norms
    assert total_macs(layer_costs(model), lambda channels: channels.active) == macs
    assert {channels.width_mult for channels in model.channels.values()} == {0.5}


@KINDS
def test_a_plain_network_of_one_width_is_extracted(kind):
    model = kind()
    recalibrate_bn(model, IMAGES, [1.0])
    vector = {"trunk": 0.4, "inner": 0.9}
    for width in (0.3, vector):
        network = extract(model, width, fold_bn=True)
        model.eval().set_width(width)
        torch.testing.assert_close(network(IMAGES[0]), model(IMAGES[0]))


@KINDS
def test_a_view_has_a_width_of_its_own(kind):
    model = kind().eval()
    view = model.view()
    view.set_width_mult(0.25)
    assert [channels.active for channels in model.channels.values()] == [TRUNK, INNER]
    assert [channels.active for channels in view.channels.values()] == [2, 2]
    assert view.last.weight is model.last.weight
    assert view.channels["trunk"] is view.norm3.channels is view.last.channels_in


def test_statistics_are_tracked():
    model = Sliced()
    tracker = StatisticsTracker(model, "norm1", range(1), [1.0, 0.5])
    tracker.observe(0, IMAGES[0])
    mean = F.conv2d(IMAGES[0], model.first.weight).mean(dim=(0, 2, 3))
    rows = tracker.rows()
    assert [row["batch_mean"] for row in rows] == pytest.approx([*mean[:5].tolist(), *mean[:5].tolist()])


class Halves(nn.Module):
    """A head of two linear layers, as an actor and a critic have it."""

    def __init__(self, channels):
        super().__init__()
        self.channels_in = channels
        self.one, self.other = SlimmableLinear(channels, 2), SlimmableLinear(channels, 1)

    def forward(self, features):
        return torch.cat([self.one(features), self.other(features)], dim=-1)

    def prefix_outputs(self, features, counts):
        both = (self.one.prefix_outputs(features, counts), self.other.prefix_outputs(features, counts))
        return torch.cat(both, dim=-1)

    def running_outputs(self, features, counts):
        both = (self.one.running_outputs(features, counts), self.other.running_outputs(features, counts))
        return (torch.cat(outputs, dim=-1) for outputs in zip(*both, strict=True))


class TwoHeads(Residual):
    """Its head is found by its name."""

    def __init__(self):
        super().__init__()
        del self.last
        self.head = Halves(self.channels["trunk"])

    def forward(self, images):
        return self.head(self.features(images))


def losses_of(rows):
    return [row["score"] for row in rows if row["metric"] == "loss_nats"]


@pytest.mark.parametrize("kind", [AnyWidth, TwoHeads])
def test_all_widths_are_trained_and_swept_from_one_pass(kind, monkeypatch):
    slow = kind()
    fast = copy.deepcopy(slow)
    losses, corrects = backward_widths(slow, *BATCHES[0], WIDTHS)
    fast_losses, fast_corrects = backward_one_pass(fast, *BATCHES[0], WIDTHS)
    torch.testing.assert_close(fast_losses, losses)
    assert torch.equal(fast_corrects, corrects)
    for one, other in zip(slow.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    swept = losses_of(sweep_widths(fast, BATCHES))
    monkeypatch.setattr("awnlib.one_pass.is_any_width", lambda model: False)
    assert swept == pytest.approx(losses_of(sweep_widths(fast, BATCHES)), rel=1e-12)


def test_widening_step_by_step():
    model = AnyWidth()
    network = AnytimeNetwork(model)
    network.start(IMAGES[0])
    for width_mult in WIDTHS:
        model.eval().set_width_mult(width_mult)
        torch.testing.assert_close(network.logits(width_mult), model(IMAGES[0]))


def test_anytime_networks_end_with_a_linear_head():
    class Scaled(AnyWidth):
        def forward(self, images):
            return super().forward(images) * 2

    with pytest.raises(ValueError, match="whose last layer is a linear head, found mul"):
        AnytimeNetwork(Scaled())
    with pytest.raises(ValueError, match="whose last layer is a linear head, found cat"):
        AnytimeNetwork(TwoHeads())


def test_a_network_without_a_head_has_no_one_pass():
    with pytest.raises(ValueError, match="needs triangular layers, shared norms and a head"):
        backward_one_pass(Residual(), *BATCHES[0], WIDTHS)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda a, b: SlimmableConv2d(a, b, 1), False),
        (lambda a, b: SlimmableLinear(a, b), False),
        (lambda a, b: switchable(a), False),
        (lambda a, b: SlimmableConv2d(2, a, 1), True),
        (lambda a, b: SlimmableConv2d(a, a, 1, groups=a.full), True),
        (lambda a, b: TriangularConv2d(a, b, 1), True),
    ],
)
def test_what_keeps_features_apart_from_the_width(layer, expected):
    model = AnyWidth()
    model.more = layer(*model.channels.values())
    assert is_any_width(model) is expected


def test_widths_are_snapped_to_those_that_any_dimension_was_trained_at():
    """One dimension has switches, the other has no norm: both have the count of the trained width."""
    trained, other = Channels(45), Channels(45)
    model = SlimmableNetwork({"trained": trained, "other": other}, ())
    model.norm = SwitchableBatchNorm2d(trained, [0.5, 1.0])
    model.set_width_mult(0.5 - 1e-8)
    assert (trained.active, other.active) == (23, 23)
    assert model.snap(0.5 - 1e-8) == 0.5


def test_the_range_is_what_all_dimensions_accept():
    model = SlimmableNetwork({"a": Channels(8, min_width_mult=0.1), "b": Channels(8, min_width_mult=0.5)}, (1,))
    assert model.min_width_mult == 0.5
    with pytest.raises(ValueError, match=r"must be in \[0\.5, 1\], found 0\.3"):
        model.set_width_mult(0.3)
    model.set_widths({"a": 0.3, "b": 0.6})
    with pytest.raises(ValueError, match=r"must be in \[0\.1, 1\], found 0\.05"):
        model.set_widths({"a": 0.05, "b": 0.6})
    assert model.channels["a"].width_mult == 0.3


def test_networks_without_channels_are_refused():
    with pytest.raises(ValueError, match="SlimmableNetwork needs channels that follow the width, found none"):
        SlimmableNetwork({}, (1, 8, 8))


def test_channels_of_two_names_are_refused():
    with pytest.raises(ValueError, match="the channels 'a' of SlimmableNetwork are called 'b'"):
        SlimmableNetwork({"a": Channels(4, name="b")}, (1,))
    twice = Channels(4)
    with pytest.raises(ValueError, match="the channels 'b' of SlimmableNetwork are called 'a'"):
        SlimmableNetwork({"a": twice, "b": twice}, (1,))


FOREIGN = {
    "norm": lambda: SharedBatchNorm2d(Channels(TRUNK, name="mine")),
    "norm of the same name": lambda: SharedBatchNorm2d(Channels(TRUNK, name="trunk")),
    "fixed norm": lambda: SharedBatchNorm2d(Channels.of(TRUNK)),
    "convolution": lambda: SlimmableConv2d(2, Channels(TRUNK, name="mine"), 3),
    "linear": lambda: TriangularLinear(Channels(TRUNK), 3),
}


@pytest.mark.parametrize("layer", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize(
    "use",
    [
        lambda model: recalibrate_bn(model, IMAGES, [1.0]),
        lambda model: sweep_widths(model, BATCHES),
        lambda model: bn_drift(model, IMAGES, WIDTHS),
        cost,
        stored_params,
        lambda model: StatisticsTracker(model, None, range(1), WIDTHS),
        lambda model: backward_one_pass(model, *BATCHES[0], WIDTHS),
    ],
    ids=["recalibrate", "sweep", "drift", "cost", "stored", "tracker", "one pass"],
)
def test_layers_whose_channels_are_not_the_networks_are_refused(layer, use):
    model = AnyWidth()
    model.norm3 = layer()
    with pytest.raises(
        ValueError, match=r"norm3: Channels\(.*9/9.*\) is none of the channels of AnyWidth \(trunk, inner\)"
    ):
        use(model)


def test_a_head_without_features_says_so():
    class NoFeatures(SlimmableNetwork):
        def __init__(self):
            super().__init__({"a": Channels(4)}, (4,))
            self.head = SlimmableLinear(self.channels["a"], 2)

    with pytest.raises(NotImplementedError, match="NoFeatures does not define the features that its head reads"):
        backward_one_pass(NoFeatures(), torch.randn(2, 4), torch.tensor([0, 1]), [1.0])
