"""Converted networks go through everything: training, recalibration, sweeps, costs, drift, views."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from awnlib.convert.slimmable import to_slimmable
from awnlib.convert.sort_channels import channel_tensors
from awnlib.deploy.extract import extract
from awnlib.evaluation.drift import bn_drift
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.layers.segments import indices, take
from awnlib.model_cost import cost, plain_params, stored_params
from awnlib.one_pass import is_any_width
from awnlib.tasks.classification import backward_widths
from awnlib.training.tracking import StatisticsTracker
from tests.masked import shake
from tests.unit.test_to_slimmable import Block, NormsOfAllKinds

WIDTHS = [0.25, 0.5, 0.75, 1.0]
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.arange(6) % 3


class Unknown(nn.Conv2d):
    """A convolution of a class of its own, which stays as it is."""


class Mixed(Block):
    def __init__(self):
        super().__init__()
        self.own = Unknown(6, 6, 3, padding=1)

    def forward(self, images):
        x = self.stem(images)
        y = self.grouped(F.relu6(self.depthwise(self.grow(x))))
        x = x + self.scale * y
        x = self.own(F.gelu(self.mixed(torch.cat([x, images, y, y * 2], dim=1))))
        return self.head(torch.flatten(x, 1))


def converted_of(kind, **options):
    return to_slimmable(shake(kind()).double(), IMAGES, divisor=1, **options)


KINDS = pytest.mark.parametrize("kind", [Block, NormsOfAllKinds, Mixed])


@KINDS
@pytest.mark.parametrize("width_mult", WIDTHS)
def test_gradients_and_statistics_are_those_of_the_extracted_network(kind, width_mult):
    converted = converted_of(kind)
    recalibrate_bn(converted, [IMAGES], WIDTHS)
    network = extract(converted, width_mult).train()
    converted.train().set_width_mult(width_mult)
    for model in (network, converted):
        F.cross_entropy(model(IMAGES), LABELS).backward()
    axes = [(id(tensor), axis, dim) for tensor, axis, dim in channel_tensors(converted)]
    for (name, full), small in zip(converted.named_parameters(), network.parameters(), strict=True):
        grad = full.grad
        for tensor, axis, dim in axes:
            grad = take(grad, axis, dim) if tensor == id(full) else grad
        torch.testing.assert_close(grad, small.grad, rtol=1e-12, atol=1e-14, msg=name)
        assert full.grad.count_nonzero() == grad.count_nonzero()  # nothing outside
    plain = {name: layer for name, layer in network.named_modules() if hasattr(layer, "running_mean")}
    for name, norm in converted.norms():
        where = indices(norm.channels)
        torch.testing.assert_close(norm.statistics.running_mean[where], plain[name].running_mean)
        torch.testing.assert_close(norm.statistics.running_var[where], plain[name].running_var)


@KINDS
def test_costs_are_those_of_the_extracted_network(kind):
    converted = converted_of(kind)
    for width_mult in WIDTHS:
        converted.set_width_mult(width_mult)
        network = extract(converted, width_mult)
        with FlopCounterMode(display=False) as counter:
            network(IMAGES[:1])
        found = cost(converted)
        assert found.macs == found.macs_dense == counter.get_total_flops() // 2
        assert found.params == sum(parameter.numel() for parameter in network.parameters())
    vectors = sum(buffer.numel() for buffer in network.buffers() if buffer.ndim)
    assert plain_params(converted) == stored_params(converted) == found.params + vectors


@KINDS
def test_trained_recalibrated_and_swept(kind):
    converted = converted_of(kind)
    optimizer = torch.optim.SGD(converted.train().parameters(), lr=0.01)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(float(backward_widths(converted, IMAGES, LABELS, WIDTHS)[0].sum()))
        optimizer.step()
    assert losses[-1] < losses[0]
    recalibrate_bn(converted, [IMAGES], [0.5, 1.0])
    rows = [row for row in sweep_widths(converted, [(IMAGES, LABELS)], WIDTHS) if row["metric"] == "loss_nats"]
    assert [row["switch_width_mult"] for row in rows] == [0.5, 0.5, 1.0, 1.0]
    for row in rows:
        loss = F.cross_entropy(extract(converted, row["width_mult"])(IMAGES), LABELS)
        assert row["score"] == pytest.approx(loss.item())
    assert not is_any_width(converted)


def test_drift_and_tracking_know_where_the_channels_are():
    """At .25 the concatenation has channels that at 1 stand further back; the inputs' own do not drift."""
    converted = converted_of(Block)
    rows = {(row["layer"], row["width_mult"]): row["drift"] for row in bn_drift(converted, [IMAGES], [0.25, 1.0])}
    assert rows["stem.1", None] < 1e-6  # reads the images at every width
    assert rows["mixed.0", None] > 0.01
    tracker = StatisticsTracker(converted, "mixed.0", range(1), [1.0, 0.25])
    tracker.observe(0, IMAGES)
    kept = {row["channel"] for row in tracker.rows()}
    assert kept == {0, 1, 8, 9, 10, 11, 12, 19, 20}  # of 8 + 3 + 8 + 8
    of_images = [row for row in tracker.rows() if row["channel"] in (8, 9, 10)]
    means = IMAGES.mean(dim=(0, 2, 3)).tolist()
    assert [row["batch_mean"] for row in of_images] == pytest.approx([*means, *means])


def test_width_vectors_and_views():
    converted = converted_of(Block).eval()
    converted.set_widths({"stem.0": 0.5, "mixed.1": 1.0})
    view = converted.view()
    view.set_width_mult(0.25)
    network = extract(converted, {"stem.0": 0.5, "mixed.1": 1.0})
    assert torch.equal(network(IMAGES), converted(IMAGES))
    assert torch.equal(extract(view, 0.25)(IMAGES), view(IMAGES))
    before = copy.deepcopy(converted.state_dict())
    recalibrate_bn(converted, [IMAGES], {"stem.0": 0.5, "mixed.1": 1.0})
    assert converted.switch_width_mults
    assert not torch.equal(before["mixed.0.running_mean"], converted.state_dict()["mixed.0.running_mean"])


@pytest.mark.parametrize("kind", [Block, NormsOfAllKinds])
def test_converted_networks_are_one_graph_for_the_compiler(kind):
    """So that scales of layers, concatenations and switches break none; also what `torch.export` makes of them."""
    converted = converted_of(kind)
    recalibrate_bn(converted, [IMAGES], [0.5, 1.0])
    for training, width_mult in ((False, 0.4), (True, 0.5)):
        converted.train(training).set_width_mult(width_mult)
        torch._dynamo.reset()
        compiled = torch.compile(converted, backend="eager", fullgraph=True)
        assert torch.equal(compiled(IMAGES), converted(IMAGES))
    exported = torch.export.export(converted.eval(), (IMAGES,))
    assert torch.equal(exported.module()(IMAGES), converted(IMAGES))


@KINDS
def test_an_s_net_has_private_scales_of_each_width(kind):
    converted = converted_of(kind)
    full = converted(IMAGES)
    converted.set_private_switches([1.0, 0.5, 0.25])
    assert converted.switch_width_mults == [0.25, 0.5, 1.0]
    torch.testing.assert_close(converted(IMAGES), full)
    names = set(kind().state_dict())
    assert names < set(converted.state_dict())
    optimizer = torch.optim.SGD(converted.train().parameters(), lr=0.01)
    backward_widths(converted, IMAGES, LABELS, [0.5])
    optimizer.step()
    converted.eval().set_width_mult(1.0)
    other = converted_of(kind)
    other.set_private_switches([0.25, 0.5, 1.0])
    other.load_state_dict(converted.state_dict())
    for width_mult in (0.25, 0.5, 1.0):
        converted.set_width_mult(width_mult)
        other.set_width_mult(width_mult)
        torch.testing.assert_close(other(IMAGES), converted(IMAGES))
        torch.testing.assert_close(extract(converted, width_mult)(IMAGES), converted(IMAGES))
    norm = dict(converted.norms())["stem.1" if kind is not NormsOfAllKinds else "flat"]
    trained = [not torch.equal(layer.weight, norm.norms[0].weight) for layer in norm.norms]
    assert trained == [False, True, False]


def test_an_s_net_needs_the_full_width():
    converted = converted_of(Block)
    for widths, message in [
        ([0.5], r"width 1 must have statistics, found \[0.5\]"),
        ([0.1, 1.0], "must be in"),
        ([], "width 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            converted.set_private_switches(widths)
    assert converted.switch_width_mults == [1.0]
