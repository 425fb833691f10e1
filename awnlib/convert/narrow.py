"""Whether a converted network does at its smallest width what it must: the last look before it is handed out.

What stands in a `forward` as a number, or is computed from a number of channels, is a constant in the graph; it shows
only where the network is narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from awnlib.convert.converted import ConvertedNetwork
from awnlib.layers import SlimmableConv2d, SlimmableLayerNorm, SlimmableLinear
from awnlib.layers.segments import Axis, indices

TOLERANCE = 1e-2
"""Of the largest output: what is scaled by a number of channels differs by more, rounding by less."""


@torch.no_grad()
def failures(network: ConvertedNetwork, original: nn.Module, images: Tensor) -> dict[str, str]:
    """Return the dimensions without which a network is right at its smallest width, with what is wrong with each.

    It is right if it runs, and gives what the original network does whose convolutions and linear layers see zeros for
    the channels that are cut. Where layer norms follow the width only the first is known.

    Parameters
    ----------
    network
        Is left as it is.
    original
        The network that it was made from, in evaluation mode.
    images
        An input of both.
    """
    network = network.view().eval()
    narrow = network.min_width_mult
    network.set_width_mult(narrow)
    if not _fault(network, original, images):
        return {}
    network.set_width_mult(1.0)
    network(images)  # what fails at full width is no matter of channels
    found = {}
    for name, channels in network.channels.items():
        channels.set_width_mult(narrow)
        fault = _fault(network, original, images)
        if fault:
            found[name] = fault
            channels.set_width_mult(1.0)
    return found


def _fault(network: ConvertedNetwork, original: nn.Module, images: Tensor) -> str:
    """Return what goes wrong at the active width; empty if nothing does."""
    try:
        outputs = tree_leaves(network(images))
    except Exception as error:
        message = str(error).splitlines()[0] if str(error) else ""
        return f"the network fails where it is narrow: {type(error).__name__}: {message}"
    norms = [layer for layer in network.modules() if isinstance(layer, SlimmableLayerNorm)]
    if all(norm.channels.fixed for norm in norms):
        with _cut_inputs(original, network):
            expected = tree_leaves(original(images))
        if not all(map(_alike, outputs, expected)):
            return "the network computes something else where it is narrow: from the number of its channels, perhaps"
    return ""


def _alike(output: object, expected: object) -> bool:
    if not isinstance(output, Tensor) or not isinstance(expected, Tensor):
        return True
    if output.shape != expected.shape:
        return False
    largest = float(expected.abs().max()) if expected.is_floating_point() and expected.numel() else 0.0
    return not float((output - expected).abs().max()) > TOLERANCE * largest if largest else True


@contextmanager
def _cut_inputs(original: nn.Module, network: nn.Module) -> Iterator[None]:
    """Let the layers of the original network see zeros for what those of the other one do not read."""
    layers = dict(original.named_modules())
    hooks = [
        layers[name].register_forward_pre_hook(
            _zeros(layer.channels_in, 1 if isinstance(layer, SlimmableConv2d) else -1)
        )
        for name, layer in network.named_modules()
        if isinstance(layer, SlimmableConv2d | SlimmableLinear) and layer.channels_in.active < layer.channels_in.full
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _zeros(axis: Axis, dim: int) -> Callable[[nn.Module, Sequence[Tensor]], tuple[Tensor, ...]]:
    kept = indices(axis)

    def cut(_: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        where = kept.to(inputs[0].device)
        return (torch.zeros_like(inputs[0]).index_copy(dim, where, inputs[0].index_select(dim, where)),)

    return cut
