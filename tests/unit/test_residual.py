"""Residual errors of partly aggregated features (US-Nets, inequality 3)."""

import copy

import pytest
import torch
from torch import Tensor

from awnlib.channels import Channels
from awnlib.evaluation.residual import residual_errors
from awnlib.layers import Segments, SlimmableLinear, SlimmableNetwork
from awnlib.seeding import rng
from awnlib.training.gradients import gradients
from tests.reference import conv2d_slowly, float64, small_lenet, small_model

WIDTHS = [0.25, 0.5, 0.75, 1.0]
IMAGES = torch.rand(4, 1, 16, 16, generator=rng(0), dtype=torch.float64)


class Neuron(SlimmableNetwork):
    """One feature that sums up four inputs."""

    def __init__(self, *weights: float) -> None:
        channels = Channels(4)
        super().__init__({"inputs": channels}, input_shape=(4,))
        self.last = SlimmableLinear(channels, 1)
        self.last.weight.data = torch.tensor([weights])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(inputs[:, : self.channels["inputs"].active])


def column(rows, key, layer=None):
    return [row[key] for row in rows if layer in (None, row["layer"])]


def test_a_neuron_by_hand():
    """Sums 1, 3, 6, 10 and 2, -1, 2, 1: residuals 9, 7, 4, 0 fall; 1, 2, 1, 0 rise once, and above the first."""
    model = Neuron(1.0, 1.0, 1.0, 1.0)
    first, second = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[2.0, -3.0, 3.0, -1.0]])
    rows = residual_errors(model, [first, second], WIDTHS)
    assert column(rows, "num_inputs") == [1, 2, 3, 4]
    assert column(rows, "residual") == [5.0, 4.5, 2.5, 0.0]
    assert column(rows, "relative") == pytest.approx([5 / 5.5, 4.5 / 5.5, 2.5 / 5.5, 0.0])
    assert column(rows, "bounded_pct") == [None, 50.0, 100.0, 100.0]
    assert column(rows, "shrinking_pct") == [None, 50.0, 100.0, 100.0]


def test_a_neuron_that_is_zero_has_no_relative_error():
    rows = residual_errors(Neuron(1.0, -1.0, 0.0, 0.0), [torch.ones(2, 4)], [0.25, 1.0])
    assert column(rows, "residual") == [1.0, 0.0]
    assert column(rows, "relative") == [None, None]


def slow_residuals(layer, inputs, width, smallest):
    """Return |y^n - y^k| of every feature of a convolution that the smallest width keeps, one number at a time."""
    kept, count, full = layer.channels_out.count(smallest), layer.channels_in.count(width), layer.channels_in.full
    weight, none = layer.weight.detach()[:kept], torch.zeros(kept)
    complete = conv2d_slowly(inputs, weight, none)
    part = conv2d_slowly(inputs[:, :count], weight[:, :count], none)
    return (complete - (full / count if layer.average_inputs else 1) * part).abs(), complete.abs().mean()


@pytest.mark.parametrize(
    "options",
    [{"layer": "triangular"}, {"layer": "sliced"}, {"layer": "sliced", "average_inputs": True}],
    ids=["triangular", "sliced", "averaging"],
)
def test_convolutions_equal_slow_ones(options):
    with float64():
        model = small_lenet(**options)
        seen = []
        plain = copy.deepcopy(model).train()
        plain.conv3.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        plain(IMAGES)
        rows = residual_errors(model, [IMAGES], WIDTHS)
        before = first = slow_residuals(plain.conv3, seen[0], 0.25, 0.25)[0]
        for row, width in zip([row for row in rows if row["layer"] == "conv3"], WIDTHS, strict=True):
            residual, magnitude = slow_residuals(plain.conv3, seen[0], width, 0.25)
            assert row["residual"] == pytest.approx(residual.mean().item(), abs=1e-12)
            assert row["relative"] == pytest.approx((residual.mean() / magnitude).item(), abs=1e-12)
            if width > 0.25:
                slack = 1e-13  # of sums in another order
                assert row["bounded_pct"] == pytest.approx(100 * (residual <= first + slack).double().mean().item())
                assert row["shrinking_pct"] == pytest.approx(100 * (residual <= before + slack).double().mean().item())
            before = residual


@pytest.mark.parametrize("name", ["lenet_3c1l", "mobilenet_v1", "resnet18"])
def test_every_feature_of_a_triangular_network_is_complete(name):
    model = small_model(name)
    images = torch.rand(2, 3, 16, 16, generator=rng(0))
    rows = residual_errors(model, [images], WIDTHS)
    last = rows[-1]["layer"]  # the classifier, which reads more features at larger widths
    layers = list(dict.fromkeys(column(rows, "layer")))
    assert len(layers) > 2
    assert {row["residual"] for row in rows if row["layer"] != last} == {0.0}
    assert {row["shrinking_pct"] for row in rows if row["layer"] != last} == {None, 100.0}
    assert min(column(rows, "residual", last)[:-1]) > 0


def test_layers_that_sum_up_no_changing_inputs_are_left_out():
    rows = residual_errors(
        small_model("mobilenet_v1", layer="sliced"), [torch.rand(2, 3, 16, 16, generator=rng(0))], [0.25, 1.0]
    )
    layers = set(column(rows, "layer"))
    assert "stem.conv" not in layers
    assert not any("depthwise" in layer for layer in layers)
    assert len(layers) == 13 + 1
    assert column(rows, "residual")[1::2] == [0.0] * 14  # nothing is missing at full width


def test_batches_of_another_size_count_by_their_features():
    model = Neuron(1.0, 2.0, 3.0, 4.0)
    inputs = torch.randn(5, 4, generator=rng(0))
    whole, parts = (residual_errors(model, batches, WIDTHS) for batches in ([inputs], [inputs[:1], inputs[1:]]))
    assert column(whole, "residual") == pytest.approx(column(parts, "residual"))


@pytest.mark.parametrize("options", [{}, {"layer": "sliced", "norm": "switchable"}])
def test_measuring_changes_nothing(options):
    model = small_lenet(**options).eval()
    model.set_width_mult(0.3)
    before = copy.deepcopy(model.state_dict())
    residual_errors(model, [IMAGES.float()], WIDTHS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {channels.width_mult for channels in model.channels.values()} == {0.3}
    assert not model.training
    assert not any(layer._forward_pre_hooks for layer in model.modules())


@pytest.mark.parametrize(
    ("batches", "widths", "message"),
    [
        ([], WIDTHS, "at least one width and one image"),
        ([torch.zeros(0, 4)], WIDTHS, "at least one width and one image"),
        ([torch.zeros(1, 4)], [], "at least one width and one image"),
        ([torch.zeros(1, 4)], [0.1, 1.0], r"width_mult must be in \[0.25, 1\], found 0.1"),
        ([torch.zeros(1, 4)], [0.5, 0.5 + 1e-8], "more than rounding"),
    ],
)
def test_wrong_use(batches, widths, message):
    with pytest.raises(ValueError, match=message):
        residual_errors(Neuron(1.0, 1.0, 1.0, 1.0), batches, widths)


def test_concatenations_are_refused():
    """The inputs of a width are the first of each part, not the first of all."""
    halves = [Channels(4), Channels(4)]
    network = SlimmableNetwork(dict(zip(("one", "two"), halves, strict=True)), input_shape=(8,))
    network.last = SlimmableLinear(Segments([(half, 1) for half in halves]), 1)
    with pytest.raises(ValueError, match="only axes of one dimension"):
        residual_errors(network, [torch.rand(2, 8)], WIDTHS)
    with pytest.raises(ValueError, match="only axes of one dimension"):
        gradients(network, network.last(torch.rand(2, 8)).sum())
