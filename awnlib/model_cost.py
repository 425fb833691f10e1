"""What a width costs: multiply-accumulate operations (MACs), active parameters and stored numbers.

One MAC is one multiplication with one addition. Convolutions and linear layers count; norms, biases, activations and
pooling do not, as in the papers' tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from awnlib.layers import SlimmableConv2d, SlimmableLinear, SlimmableNetwork


@dataclass(frozen=True)
class Cost:
    """The cost of one width, for one image.

    Attributes
    ----------
    macs
        MACs that are needed: the zeros above a triangular layer's staircase are not counted.
    macs_dense
        MACs with those zeros counted, which is what a dense convolution computes.
    params
        Parameters in use: weights at or below the staircase, biases, norm scales and shifts.
    """

    macs: int
    macs_dense: int
    params: int


def output_positions(model: SlimmableNetwork) -> dict[str, int]:
    """Return by layer name at how many positions (height times width) each convolution and linear layer is evaluated.

    They depend on the image size only, not on the width: compute them once and pass them to `cost`.
    """
    positions: dict[str, int] = {}
    hooks = []
    for name, layer in _weighted_layers(model):

        def record(_: nn.Module, __: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
            positions[name] = output[0, 0].numel()

        hooks.append(layer.register_forward_hook(record))
    training = model.training
    weight = next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(weight.new_zeros(1, *model.input_shape))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return positions


def cost(model: SlimmableNetwork, positions: dict[str, int] | None = None) -> Cost:
    """Return the cost of the model's active width.

    Parameters
    ----------
    model
        Any network of the library's layers, set to the width in question.
    positions
        What `output_positions` returned for it; computed when not given.
    """
    norms = [norm for _, norm in model.norms()]
    positions = positions if positions is not None else output_positions(model)
    macs = macs_dense = params = 0
    for name, layer in _weighted_layers(model):
        connections = layer.active_connections()
        macs += positions[name] * connections
        macs_dense += positions[name] * layer.dense_connections()
        params += connections + (layer.channels_out.active if layer.bias is not None else 0)
    params += sum(2 * norm.channels.active for norm in norms)
    return Cost(macs, macs_dense, params)


def stored_params(model: SlimmableNetwork) -> int:
    """Return how many numbers the whole model stores: parameters and BN statistics of all its widths.

    The papers' "model size": another set of statistics makes it larger, and so does a private scale and shift.
    Weights above a staircase are zero by construction and not counted.
    """
    stored = 0
    for _, norm in model.norms():
        stored += sum(parameter.numel() for parameter in norm.parameters())
        stored += sum(buffer.numel() for buffer in norm.buffers() if buffer.ndim == 1)
    return _full_weights(model) + stored


def plain_params(model: SlimmableNetwork) -> int:
    """Return how many numbers the same network stores with one ordinary BN: scale, shift, mean and variance."""
    return _full_weights(model) + sum(4 * norm.channels.full for _, norm in model.norms())


def _full_weights(model: SlimmableNetwork) -> int:
    """Return the number of weights and biases of all convolutions and linear layers at full width."""
    widths = {name: channels.width_mult for name, channels in model.channels.items()}
    model.set_width_mult(1.0)
    layers = [layer for _, layer in _weighted_layers(model)]
    total = sum(layer.active_connections() + (0 if layer.bias is None else layer.bias.numel()) for layer in layers)
    model.set_widths(widths)
    return total


def _weighted_layers(model: nn.Module) -> list[tuple[str, SlimmableConv2d | SlimmableLinear]]:
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, SlimmableConv2d | SlimmableLinear)
    ]
