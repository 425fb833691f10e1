"""What a width costs: multiply-accumulate operations (MACs), active parameters and stored numbers.

One MAC is one multiplication with one addition. Convolutions and linear layers count; norms, biases, activations and
pooling do not, as in the papers' tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from awnlib.layers import SlimmableConv2d, SlimmableLayerNorm, SlimmableLinear, SlimmableNetwork

Weighted = nn.Conv2d | nn.Linear


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
        Parameters in use: weights at or below the staircase, biases, norm scales and shifts, and what else there is.
    """

    macs: int
    macs_dense: int
    params: int


def output_positions(model: SlimmableNetwork) -> dict[str, int]:
    """Return by layer name at how many positions (height times width) each convolution and linear layer is evaluated.

    They depend on the image size only, not on the width: compute them once and pass them to `cost`. A layer that is
    called several times has the sum.
    """
    positions: dict[str, int] = {}
    hooks = []
    for name, layer in _weighted_layers(model):

        def record(
            _: nn.Module, __: tuple[Tensor, ...], output: Tensor, name: str = name, layer: nn.Module = layer
        ) -> None:
            channels = output.shape[1 if isinstance(layer, nn.Conv2d) else -1]
            positions[name] = positions.get(name, 0) + output[0].numel() // channels

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
        connections, dense, biases = _in_use(layer)
        macs += positions[name] * connections
        macs_dense += positions[name] * dense
        params += connections + biases
    params += sum(2 * norm.channels.active for norm in norms if _has_affine(norm))
    return Cost(macs, macs_dense, params + _other_params(model))


def stored_params(model: SlimmableNetwork) -> int:
    """Return how many numbers the whole model stores: parameters and BN statistics of all its widths.

    The papers' "model size": another set of statistics makes it larger, and so does a private scale and shift.
    Weights above a staircase are zero by construction and not counted.
    """
    stored = 0
    for _, norm in model.norms():
        stored += sum(vector.numel() for vector in norm.state_dict().values() if vector.ndim == 1)
    return _full_weights(model) + stored


def plain_params(model: SlimmableNetwork) -> int:
    """Return how many numbers the same network stores with one ordinary BN: scale, shift, mean and variance."""
    return _full_weights(model) + sum((4 if _has_affine(norm) else 2) * norm.channels.full for _, norm in model.norms())


def _full_weights(model: SlimmableNetwork) -> int:
    """Return the number of all parameters but those of the norms with statistics, at full width."""
    widths = {name: channels.width_mult for name, channels in model.channels.items()}
    model.set_width_mult(1.0)
    total = _other_params(model)
    for _, layer in _weighted_layers(model):
        connections, _, biases = _in_use(layer)
        total += connections + biases
    model.set_widths(widths)
    return total


def _weighted_layers(model: nn.Module) -> list[tuple[str, Weighted]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def _in_use(layer: Weighted) -> tuple[int, int, int]:
    """Return how many weights a layer needs and has in use, and how many biases; a plain layer needs all of them."""
    if isinstance(layer, SlimmableConv2d | SlimmableLinear):
        biases = 0 if layer.bias is None else layer.channels_out.active
        return layer.active_connections(), layer.dense_connections(), biases
    return layer.weight.numel(), layer.weight.numel(), 0 if layer.bias is None else layer.bias.numel()


def _has_affine(norm: nn.Module) -> bool:
    return bool(getattr(norm, "affine", True))


def _other_params(model: SlimmableNetwork) -> int:
    """Return the parameters in use of layer norms, and of all that is neither a weighted layer nor one of `norms`."""
    layers = [layer for _, layer in [*_weighted_layers(model), *model.norms()]]
    counted = {part for layer in layers for part in layer.modules()}  # a weight may be parametrised by a part
    total = 0
    for module in set(model.modules()) - counted:
        if isinstance(module, SlimmableLayerNorm):
            total += sum(vector.numel() for vector in module.active_affine() if vector is not None)
        else:
            states = [getattr(module, name) for name, state in module._parameters.items() if state is not None]
            total += sum(state.numel() for state in states)
    return total
