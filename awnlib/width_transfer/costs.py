"""MACs of a sliced network as a function of its channel counts, which need not be whole numbers.

Width optimisers need the gradient of the MACs by the counts, and the MACs of many candidates: here they are a sum
over layers, without a network to set and without masks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from torch import Tensor

from awnlib.channels import Channels
from awnlib.layers import SlimmableConv2d, SlimmableNetwork
from awnlib.layers.triangle import Staircase
from awnlib.model_cost import output_positions

T = TypeVar("T", int, float, Tensor)


@dataclass(frozen=True)
class LayerCost:
    """One convolution or linear layer.

    Attributes
    ----------
    name
        Its name in the model.
    inputs, outputs
        Its dimensions; a fixed one (the colours of an image, the classes) has no name.
    macs_per_connection
        MACs of one pair of an input and an output channel: output positions times the area of the kernel, or the
        features of each channel for a linear layer.
    depthwise
        Whether each channel is convolved alone.
    """

    name: str
    inputs: Channels
    outputs: Channels
    macs_per_connection: int
    depthwise: bool


def layer_costs(model: SlimmableNetwork) -> list[LayerCost]:
    """Return what the MACs of a sliced network consist of, for images of its `input_shape`.

    Raises
    ------
    ValueError
        If the network's layers are triangular: then MACs depend on the order of all counts.
    """
    triangular = [name for name, layer in model.named_modules() if isinstance(layer, Staircase) and layer.limits]
    if triangular:
        raise ValueError(f"layer costs need sliced layers, found the triangular {triangular[0]}")
    costs = []
    for name, positions in output_positions(model).items():
        layer = model.get_submodule(name)
        inputs, outputs = layer.channels_in, layer.channels_out
        assert isinstance(inputs, Channels)
        assert isinstance(outputs, Channels)
        if isinstance(layer, SlimmableConv2d):
            each = positions * layer.kernel_size[0] * layer.kernel_size[1]
            costs.append(LayerCost(name, inputs, outputs, each, layer.depthwise))
        else:
            assert isinstance(layer.features_per_channel, int)
            costs.append(LayerCost(name, inputs, outputs, positions * layer.features_per_channel, False))
    return costs


def total_macs(layers: Sequence[LayerCost], count_of: Callable[[Channels], T]) -> T:
    """Return the MACs of one image: over layers the sum of MACs per connection times inputs times outputs.

    A depthwise layer has one input for each output.

    Parameters
    ----------
    layers
        What `layer_costs` returned.
    count_of
        The number of channels of a dimension (of fixed ones too): an integer, a real number or a tensor, through which
        the sum is differentiable. `lambda channels: channels.active` gives what `awnlib.model_cost.cost` counts.
    """
    return reduce(operator.add, (layer_macs(layer, count_of) for layer in layers))


def layer_macs(layer: LayerCost, count_of: Callable[[Channels], T]) -> T:
    """Return the MACs of one layer, as `total_macs` does."""
    outputs = layer.macs_per_connection * count_of(layer.outputs)
    return outputs if layer.depthwise else outputs * count_of(layer.inputs)
