"""MorphNet's regulariser by hand, and what a search does with it."""

import pytest
import torch
from torch import nn

from awnlib.channels import Channels
from awnlib.layers import SharedBatchNorm2d, SlimmableConv2d, SlimmableLinear
from awnlib.models import ModelSpec, SlimmableModel, create_model
from awnlib.width_transfer.costs import LayerCost, layer_costs, total_macs
from awnlib.width_transfer.morphnet import MorphNet, regularizer, tied_scales
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.options import MorphNetSettings

LENET = ModelSpec(name="lenet_3c1l", input_shape=(1, 16, 16), num_classes=10)
CPU = torch.device("cpu")


class Residual(SlimmableModel):
    """Two convolutions whose outputs are added, a depthwise one, and a classifier of two classes; 1x1 images."""

    def __init__(self):
        spec = ModelSpec(name="residual", layer="sliced", input_shape=(3, 1, 1), num_classes=2)
        a = Channels(3, name="a")
        super().__init__(spec, {"a": a})
        self.conv1, self.norm1 = SlimmableConv2d(3, a, 1), SharedBatchNorm2d(a)
        self.conv2, self.norm2 = SlimmableConv2d(a, a, 1), SharedBatchNorm2d(a)
        self.depthwise = SlimmableConv2d(a, a, 1, groups=3)
        self.classifier = SlimmableLinear(a, 2)

    def features(self, images):
        x = self.norm1(self.conv1(images))
        return (x + self.norm2(self.conv2(x))).mean((2, 3)) + self.depthwise(x).mean((2, 3))


def test_residual_sum_by_hand():
    model = Residual()
    with torch.no_grad():
        model.norm1.weight.copy_(torch.tensor([0.5, -0.2, 0.001]))
        model.norm2.weight.copy_(torch.tensor([-0.3, 0.4, 0.002]))
    scales = tied_scales(model)
    assert scales["a"].tolist() == pytest.approx([0.5, 0.4, 0.002])  # the larger of two, position by position
    value = regularizer(layer_costs(model), scales, threshold=0.01)
    r, alive = 0.902, 2
    conv1, conv2, depthwise, classifier = 3 * r, 2 * alive * r, 2 * r, 2 * r
    assert value.item() == pytest.approx(conv1 + conv2 + depthwise + classifier)
    value.backward()
    per_channel = 3 + 2 * alive + 2 + 2  # only the scale that is the larger one is pulled
    torch.testing.assert_close(model.norm1.weight.grad, torch.tensor([per_channel, 0.0, 0.0]))
    torch.testing.assert_close(model.norm2.weight.grad, torch.tensor([0.0, per_channel, per_channel]))


def test_channel_is_alive_if_any_member_is():
    model = Residual()
    with torch.no_grad():
        model.norm1.weight.copy_(torch.tensor([0.0, 0.0, 0.5]))
        model.norm2.weight.copy_(torch.tensor([0.5, 0.0, 0.0]))
    value = regularizer(layer_costs(model), tied_scales(model), threshold=0.01)
    assert value.item() == pytest.approx(3 * 1 + 2 * 2 * 1 + 2 * 1 + 2 * 1)


def test_regularizer_of_whole_scales_is_twice_the_macs():
    a, b = Channels(4, name="a"), Channels(6, name="b")
    layers = [LayerCost("1", a, b, 10, False), LayerCost("2", b, b, 9, True), LayerCost("3", b, a, 1, False)]
    scales = {"a": torch.ones(4), "b": torch.ones(6)}
    assert regularizer(layers, scales, 0.5).item() == 2 * total_macs(layers, lambda channels: channels.full)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50"])
def test_whole_networks_have_twice_the_macs_of_all_layers_but_first_and_last(name):
    spec = {"input_shape": (3, 32, 32), "base_width_mult": 0.25, "slim_last": True}
    model = create_model(name, layer="sliced", **spec)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)  # in residual networks some start at 0
    layers = layer_costs(model)
    ends = total_macs([layers[0], layers[-1]], lambda channels: channels.full)
    both = total_macs(layers, lambda channels: channels.full) - ends
    assert regularizer(layers, tied_scales(model), 0.5).item() == pytest.approx(2 * both + ends)


def search(shapes, budget=None, **settings):
    return MorphNet(Problem(shapes, LENET, budget), MorphNetSettings(**settings), 0, CPU)


def test_loss_is_the_cross_entropy_and_the_normalised_regularizer(shapes):
    optimizer = search(shapes, strength=3.0)
    images, labels = shapes.train_images[:8].float(), shapes.train_labels[:8]
    loss = optimizer.backward(images, labels, 0, 0.0)
    problem = optimizer.problem
    expected = nn.functional.cross_entropy(optimizer.model(images), labels)
    expected += 3 * regularizer(problem.layers, tied_scales(optimizer.model), 0.01) / problem.budget
    torch.testing.assert_close(loss, expected.detach())
    assert optimizer.ledger.total == 3 * 8 * problem.budget


def test_dead_layers_keep_a_minimum_and_the_rest_is_widened(shapes):
    optimizer = search(shapes, min_width_mult=0.1)
    with torch.no_grad():
        optimizer.model.norm1.weight[8:] = 0.009
        optimizer.model.norm2.weight.zero_()
    multipliers = optimizer.multipliers()
    assert multipliers == {"conv1": 8 / 32, "conv2": 3 / 32, "conv3": 1.0}
    problem = optimizer.problem
    matched = problem.counts(optimizer.at_budget(multipliers))
    assert 0.99 * problem.budget <= problem.macs(matched) <= problem.budget
    assert matched["conv3"] > 32
    assert matched["conv1"] / matched["conv2"] == pytest.approx(8 / 3, rel=0.1)
    optimizer.end_epoch(1)
    assert [(row["channels"], row["count"]) for row in optimizer.rows] == [("conv1", 8), ("conv2", 3), ("conv3", 32)]
