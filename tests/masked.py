"""What a narrow converted network must compute: the original one, whose layers see zeros for what is cut."""

import copy

import torch
from torch import nn

from awnlib.layers import SlimmableConv2d, SlimmableLinear
from awnlib.layers.segments import take


@torch.no_grad()
def masked_outputs(original, converted, images):
    """Outputs of the original network with the inputs of convolutions and linear layers cut as at the active width."""
    network = copy.deepcopy(original).eval()
    layers = dict(converted.named_modules())
    for name, layer in network.named_modules():
        if isinstance(layers.get(name), SlimmableConv2d | SlimmableLinear):
            dim = 1 if isinstance(layer, nn.Conv2d) else -1
            layer.register_forward_pre_hook(cut(layers[name].channels_in, dim))
    return network(images)


def cut(axis, dim):
    kept = torch.zeros(axis.full).index_fill(0, take(torch.arange(axis.full), axis), 1.0)

    def hook(_, inputs):
        (values,) = inputs
        return (values * kept.to(values.dtype).reshape(-1, *[1] * (values.ndim - 2 if dim == 1 else 0)),)

    return hook


def shake(network, seed=0):
    """Let no statistic, scale or shift be trivial."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if getattr(layer, "running_var", None) is not None:
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.running_mean, 0.0, 0.2)
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) and layer.weight is not None:
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0.0, 0.2)
    return network.eval()
