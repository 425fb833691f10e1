"""`to_slimmable`: any convolutional network made slimmable in one call."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from math import gcd

import torch
from torch import Tensor, nn

from awnlib.channels import Channels
from awnlib.convert.adapters import slimmable, why_unknown
from awnlib.convert.converted import ConvertedNetwork, Report, adopt, check_names, slice_states
from awnlib.convert.dimensions import AxisPieces, Dimension
from awnlib.convert.graph import Flow, follow
from awnlib.convert.narrow import failures
from awnlib.convert.rules import RULES
from awnlib.layers import Segments

FIXED = "fixed"
"""The name of the channels that stand for all that keep their full width."""


def to_slimmable(
    model: nn.Module,
    example_input: Tensor,
    *,
    min_width_mult: float = 0.25,
    divisor: int = 8,
    keep: Sequence[str] = (),
) -> ConvertedNetwork:
    """Return a copy of a network whose width is chosen at run time.

    At full width it computes the same numbers. At a smaller one each dimension keeps its first channels, and every
    layer computes what the original one would if the others were zero; a layer norm takes its mean over the active
    ones, and a group convolution keeps whole groups. BN statistics are those of width 1 until `recalibrate_bn` computes
    others.

    Parameters
    ----------
    model
        Any network of two-dimensional convolutions that `torch.export` can export; it stays as it is.
    example_input
        What it is called with, `[N, C, H, W]`, of any size that it accepts.
    min_width_mult
        The smallest width.
    divisor
        Channel counts are multiples of this (`awnlib.Channels`), but for dimensions with fewer channels.
    keep
        Names of modules whose outputs keep their full width, such as `["layer4"]`.

    Returns
    -------
    ConvertedNetwork
        In the mode of the model, at width 1. Its class is a subclass of the model's, with the same `forward` and the
        same names in its `state_dict`. `report` says which dimensions follow the width, and why others do not: what an
        operation does to channels must be understood (`awnlib.convert.rules`), and the class of a layer known
        (`awnlib.convert.adapters`).

    Raises
    ------
    ValueError
        If no dimension can follow the width, layers are not used in evaluation or share parameters, `keep` names no
        module, or the model has attributes with names of `awnlib.SlimmableNetwork`.
    """
    check_names(model)
    _check_shared(model)
    unknown = set(keep) - dict(model.named_modules()).keys()
    if unknown:
        raise ValueError(f"keep: the network has no modules {', '.join(sorted(unknown))}")
    images = example_input if len(example_input) > 1 else torch.cat([example_input, example_input])
    still = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()}).eval()
    flow = follow(still, (images,), RULES, known=lambda layer: layer is not still and not why_unknown(layer), keep=keep)
    _settle(flow)
    while True:
        builder = _Builder(flow, min_width_mult, divisor)
        network = builder.build(copy.deepcopy(model), images.shape[1:])
        wrong = failures(network, still, images)
        if not wrong:
            return network
        for dimension, channels in builder.channels.items():
            dimension.reason = wrong.get(channels.name, "")


def _check_shared(model: nn.Module) -> None:
    """Raise a ValueError if two layers share a parameter; a layer may be called twice."""
    owners: dict[int, dict[nn.Module, str]] = {}
    for owner, module in model.named_modules():
        for name, parameter in module._parameters.items():
            owners.setdefault(id(parameter), {})[module] = f"{owner}.{name}"
    owners.pop(id(None), None)
    shared = next((names.values() for names in owners.values() if len(names) > 1), None)
    if shared:
        raise ValueError(f"{' and '.join(shared)} are one parameter; call one layer twice instead")


class _Builder:
    """Makes a network slimmable, with `Channels` for every dimension that is free."""

    def __init__(self, flow: Flow, min_width_mult: float, divisor: int) -> None:
        self.flow = flow
        self.fixed = Channels(1, fixed=True, min_width_mult=min_width_mult, name=FIXED)
        self.channels: dict[Dimension, Channels] = {}
        for dimension, each in _free_dimensions(flow).items():
            name = _unused(dimension.name, [channels.name for channels in self.channels.values()])
            units = max(divisor // gcd(divisor, each), 1)
            channels = Channels(dimension.size, min_width_mult=min_width_mult, divisor=units, name=name)
            self.channels[dimension] = channels

    def build(self, model: nn.Module, input_shape: Sequence[int]) -> ConvertedNetwork:
        """Replace the layers of a network, in place."""
        report = self._report(model)
        if not self.channels:
            raise ValueError(f"no dimension of {type(model).__name__} can follow the width: {report}")
        modules = dict(model.named_modules())
        layers = {
            modules[name]: slimmable(modules[name], self._axis(axes.inputs), self._axis(axes.outputs))
            for name, axes in self.flow.layers.items()
        }
        for module in modules.values():
            for name, child in module._modules.items():
                if child in layers:
                    module._modules[name] = layers[child]
        for owner, axes in self._states().items():
            slice_states(modules[owner], axes)
        adopt(model, {c.name: c for c in [*self.channels.values(), self.fixed]}, input_shape, report)
        assert isinstance(model, ConvertedNetwork)
        return model

    def _axis(self, axis: AxisPieces) -> Segments:
        parts = [
            (self.channels[dimension], each) if dimension in self.channels else (self.fixed, dimension.size * each)
            for dimension, each in axis.pieces
        ]
        return Segments(parts if any(part is not self.fixed for part, _ in parts) else [(self.fixed, axis.length)])

    def _states(self) -> dict[str, dict[str, tuple[Segments, int]]]:
        """Return the axes of parameters and buffers that follow the width, by the names of their modules."""
        found: dict[str, dict[str, tuple[Segments, int]]] = {}
        for state, label in self.flow.states.items():
            owner, _, name = state.rpartition(".")
            axis = self._axis(label.axis)
            if not axis.fixed:
                found.setdefault(owner, {})[name] = (axis, label.dim)
        return found

    def _report(self, model: nn.Module) -> Report:
        fixed = {
            name: piece.dimension.reason
            for name, axes in self.flow.layers.items()
            for piece in reversed(axes.outputs.pieces)
            if piece.dimension.reason and axes.outputs is not axes.inputs
        }
        for name, module in model.named_modules():
            states = {f"{name}.{own}".removeprefix(".") for own in module._parameters}
            if name not in self.flow.layers and not states <= self.flow.states.keys():
                fixed[name] = f"{why_unknown(module) or 'it was not met'}; it stays as it is"
        return Report({channels.name: channels.full for channels in self.channels.values()}, fixed)


def _settle(flow: Flow) -> None:
    """Fix what can be no `Channels`: what no layer gives, what a layer shares with an operation, single channels."""
    of_layers = {piece.dimension for axes in flow.layers.values() for piece in axes.outputs.pieces}
    for state, label in flow.states.items():
        owner = state.rpartition(".")[0]
        if owner in flow.layers:
            for axis in (*flow.layers[owner], label.axis):
                axis.fix(f"{state} is used outside of its layer")
        for piece in label.axis.pieces:
            if piece.dimension not in of_layers:
                label.axis.fix("no layer gives it")
    for dimension in of_layers:
        if dimension.size == 1:
            dimension.reason = dimension.reason or "a single channel"


def _free_dimensions(flow: Flow) -> dict[Dimension, int]:
    """Return what follows the width, with the fewest neighbouring elements that a channel of it is."""
    free: dict[Dimension, int] = {}
    for axes in flow.layers.values():
        for dimension, each in axes.outputs.pieces:
            if not dimension.reason:
                free[dimension] = min(each, free.get(dimension, each))
    return free


def _unused(name: str, used: Iterable[str]) -> str:
    """Return a name, with a number if it is used."""
    count = sum(other.rpartition("#")[0] == name or other == name for other in used)
    return f"{name}#{count + 1}" if count else name
