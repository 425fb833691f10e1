"""Torch-Pruning, an independent analysis of coupling, cuts the same channels of the same layers."""

import copy

import pytest
import torch
from torch import nn

from awnlib.convert.slimmable import to_slimmable
from awnlib.torchvision_shim import import_torchvision
from tests.masked import shake

torch_pruning = pytest.importorskip("torch_pruning", reason="for developers: awnlib[dev]")
models = import_torchvision().models


def cut_by_torch_pruning(network, converted, images):
    """The original network without the channels that the converted one does not use at its active width."""
    network = copy.deepcopy(network)
    graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=images)
    for name, channels in converted.channels.items():
        if not channels.fixed:
            layer = network.get_submodule(name)
            linear = isinstance(layer, nn.Linear)
            prune = torch_pruning.prune_linear_out_channels if linear else torch_pruning.prune_conv_out_channels
            graph.get_pruning_group(layer, prune, list(range(channels.active, channels.full))).prune()
    return network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "convnext_tiny"])
def test_the_same_channels_are_cut(name):
    torch.manual_seed(0)
    network, images = shake(getattr(models, name)(num_classes=10)), torch.randn(2, 3, 32, 32)
    converted = to_slimmable(network, images)
    converted.set_width_mult(0.5)
    cut = cut_by_torch_pruning(network, converted, images)
    with torch.no_grad():
        torch.testing.assert_close(converted(images), cut(images), rtol=1e-5, atol=1e-6)
