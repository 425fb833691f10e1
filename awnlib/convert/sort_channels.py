"""The most important channels first, so that narrow networks of pretrained weights keep them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from awnlib.channels import Channels
from awnlib.convert.converted import ConvertedNetwork, sliced_states
from awnlib.layers import SlimmableConv2d, SlimmableLayerNorm, SlimmableLinear, SwitchableBatchNorm2d
from awnlib.layers.segments import Axis, parts_of


@torch.no_grad()
def sort_channels(model: ConvertedNetwork) -> None:
    """Permute the channels of every dimension, in place, so that those that the layers behind weigh most come first.

    A channel's importance is the sum of the magnitudes of all weights that read it. The network at full width stays the
    same function, up to the order in which numbers are added up.

    Parameters
    ----------
    model
        A network made by `awnlib.to_slimmable`. BN statistics of its switches are permuted with the channels; those of
        narrower widths are of other channels then: sort before `recalibrate_bn` and training.

    Raises
    ------
    ValueError
        If narrower widths than 1 have BN statistics already.
    """
    switches = model.switch_width_mults
    if switches not in ([], [1.0]):
        raise ValueError(f"sort before other widths than 1 have BN statistics, found those of {switches}")
    for channels in model.channels.values():
        if not channels.fixed:
            order = _importance(model, channels).argsort(descending=True, stable=True)
            for tensor, axis, dim in channel_tensors(model):
                index = _permuted(axis, channels, order.to(tensor.device))
                tensor.copy_(tensor.index_select(dim, index))


def _importance(model: nn.Module, channels: Channels) -> Tensor:
    """Return the sum of the magnitudes of the weights that read each channel of a dimension, `[full]`."""
    importance = torch.zeros(channels.full, dtype=torch.float64)
    for layer in model.modules():
        if isinstance(layer, SlimmableConv2d | SlimmableLinear) and not _is_grouped(layer):
            magnitude = layer.weight.abs().transpose(0, 1).flatten(1).sum(dim=1).double().cpu()
            for start, each in _places(layer.channels_in, channels):
                importance += magnitude[start : start + channels.full * each].reshape(-1, each).sum(dim=1)
    return importance


def channel_tensors(model: nn.Module) -> Iterator[tuple[Tensor, Axis, int]]:
    """Yield everything that has channels with its axis and the dimension along which it has them."""
    for layer in model.modules():
        if isinstance(layer, SlimmableConv2d | SlimmableLinear):
            yield layer.weight, layer.channels_out, 0
            if layer.bias is not None:
                yield layer.bias, layer.channels_out, 0
            if not _is_grouped(layer):
                yield layer.weight, layer.channels_in, 1
        elif isinstance(layer, SwitchableBatchNorm2d | SlimmableLayerNorm):
            vectors = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
            for statistics in getattr(layer, "norms", []):
                vectors += [buffer for buffer in statistics.buffers() if buffer.ndim]
            yield from ((vector, layer.channels, 0) for vector in vectors)
        else:
            yield from sliced_states(layer)


def _is_grouped(layer: nn.Module) -> bool:
    return isinstance(layer, SlimmableConv2d) and layer.groups > 1


def _places(axis: Axis, channels: Channels) -> Iterator[tuple[int, int]]:
    """Yield where an axis has a dimension, as the first element and the number of elements for each channel."""
    start = 0
    for part in parts_of(axis):
        if part.channels is channels:
            yield start, part.each
        start += part.full


def _permuted(axis: Axis, channels: Channels, order: Tensor) -> Tensor:
    """Return for each element of an axis the one that takes its place."""
    index = torch.arange(axis.full, device=order.device)
    for start, each in _places(axis, channels):
        units = index[start : start + channels.full * each].reshape(-1, each)
        index[start : start + channels.full * each] = units[order].flatten()
    return index
