"""`SlimmableNetwork`: what training, sweeps, recalibration, costs and extraction need of a network, whatever made it.

A network of your own is one that lists its dimensions::

    class Residual(SlimmableNetwork):
        def __init__(self) -> None:
            trunk = Channels(16)
            super().__init__({"trunk": trunk}, input_shape=(1, 28, 28))
            self.conv1, self.norm1 = TriangularConv2d(1, trunk, 3), SharedBatchNorm2d(trunk)
            ...

        def forward(self, images: Tensor) -> Tensor: ...
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Self, cast

from torch import Tensor, nn

from awnlib.channels import Channels, check_apart, check_width_mult, snap_width_mult
from awnlib.layers.batchnorm import BetweenSwitches, SharedBatchNorm2d, SwitchableBatchNorm2d
from awnlib.layers.conv import SlimmableConv2d
from awnlib.layers.head import PrefixHead
from awnlib.layers.layernorm import SlimmableLayerNorm
from awnlib.layers.linear import SlimmableLinear
from awnlib.layers.segments import parts_of
from awnlib.settings import check_choice

Norm = SharedBatchNorm2d | SwitchableBatchNorm2d


class SlimmableNetwork(nn.Module):
    """A network whose width is chosen at run time, made of the layers of this package; subclasses define `forward`.

    The width is state of the network, as the mode is: threads that use different widths take a `view` each.

    Parameters
    ----------
    channels
        The dimensions that follow the width by name, in the order of the layers. Those that have no name get it. A
        fixed one is told the width, too, for norms that keep statistics of each width; width vectors need not name it.
    input_shape
        Shape of one input without the batch, such as `(3, 224, 224)`: what costs are counted for.

    Raises
    ------
    ValueError
        If there are no channels, or some have another name.

    Attributes
    ----------
    channels, input_shape
        As above.
    min_width_mult
        The smallest width that all dimensions accept.
    """

    def __init__(self, channels: Mapping[str, Channels], input_shape: Sequence[int]) -> None:
        super().__init__()
        self._set_channels(channels, input_shape)

    def _set_channels(self, channels: Mapping[str, Channels], input_shape: Sequence[int]) -> None:
        if not channels:
            raise ValueError(f"{type(self).__name__} needs channels that follow the width, found none")
        for name, dimension in channels.items():
            dimension.name = dimension.name or name
            if dimension.name != name:
                raise ValueError(f"the channels '{name}' of {type(self).__name__} are called '{dimension.name}'")
        self.channels = dict(channels)
        self.input_shape = tuple(input_shape)
        self.min_width_mult = max(dimension.min_width_mult for dimension in channels.values())

    @property
    def head(self) -> PrefixHead | None:
        """The layer that reads the `features`; None if there is no such layer: then every width needs its own pass.

        It is the layer of this name, unless a subclass gives another.
        """
        return cast("PrefixHead | None", self._modules.get("head"))

    def features(self, images: Tensor) -> Tensor:
        """Return the head's input at the active width; a network with a head defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define the features that its head reads")

    def extra_repr(self) -> str:
        """Say at which width the network is, or each of its dimensions if they differ."""
        widths = {name: channels.width_mult for name, channels in self.channels.items()}
        different = set(widths.values())
        return f"width_mult={different.pop()}" if len(different) == 1 else f"widths={widths}"

    def set_width_mult(self, width_mult: float) -> None:
        """Set every dimension to one width multiplier.

        Raises
        ------
        ValueError
            If it is outside `[min_width_mult, 1]` by more than rounding.
        TypeError
            If it is no number.
        """
        check_width_mult(width_mult, self.min_width_mult)
        width_mult = self.snap(width_mult)
        for channels in self.channels.values():
            channels.set_width_mult(width_mult)

    def set_widths(self, width_mults: Mapping[str, float]) -> None:
        """Set each dimension to a multiplier of its own (a width vector).

        Raises
        ------
        ValueError
            If a dimension is missing or unknown, or a multiplier is outside the range; nothing is changed then.
        """
        width_mults = self._with_fixed(width_mults)
        for name, width_mult in width_mults.items():
            check_width_mult(width_mult, self.channels[name].min_width_mult)
        for name, width_mult in width_mults.items():
            self.channels[name].set_width_mult(width_mult)

    def set_width(self, width: float | Mapping[str, float]) -> None:
        """Set a width multiplier for all dimensions, or a width vector; raises as the two methods above."""
        if isinstance(width, Mapping):
            self.set_widths(width)
        else:
            self.set_width_mult(width)

    def snap(self, width_mult: float) -> float:
        """Return the trained width, or the end of the range, that a width is up to rounding (`Channels.snap`)."""
        trained = {channels.trained for channels in self.channels.values()}
        return snap_width_mult(width_mult, (self.min_width_mult, *chain.from_iterable(trained), 1.0))

    @property
    def switch_width_mults(self) -> list[float]:
        """The widths with BN statistics of their own, rising; empty if one set serves all widths."""
        return next((norm.width_mults for _, norm in self.norms() if isinstance(norm, SwitchableBatchNorm2d)), [])

    def set_between_switches(self, between: BetweenSwitches) -> None:
        """Choose what widths without BN statistics of their own use in evaluation (`SwitchableBatchNorm2d.between`).

        Raises
        ------
        ValueError
            If there is no such choice, whether or not the model has switchable norms.
        """
        check_choice("between", between, BetweenSwitches)
        for _, norm in self.norms():
            if isinstance(norm, SwitchableBatchNorm2d):
                norm.between = between

    @property
    def changes(self) -> list[float]:
        """The widths from which on some count is another one, rising; the smallest width is the first."""
        low = self.min_width_mult
        steps = {width_mult for channels in self.channels.values() for width_mult, _ in channels.steps}
        return [low, *_apart(width_mult for width_mult in steps if low < width_mult <= 1)]

    def distinct_width_mults(self, include: Sequence[float] = ()) -> list[float]:
        """Return one width multiplier for each distinct set of channel counts, from the smallest to 1.

        Between two widths at which some count changes all multipliers give the same network. Each such interval is
        represented by its middle; the first one by the smallest width, the last one by 1.

        Parameters
        ----------
        include
            Widths that represent their interval instead (the largest one, if several fall into it), but for the first
            interval: those that a network was trained or calibrated at.
        """
        low = self.min_width_mult
        include = [self.snap(width_mult) for width_mult in include]
        starts = self.changes
        ends = [*starts[1:], None]
        return [_representative(start, end, low, include) for start, end in zip(starts, ends, strict=True)]

    def norms(self) -> Iterator[tuple[str, Norm]]:
        """Yield the BN layers with their names, in the order of the layers.

        Raises
        ------
        TypeError
            If `torch.nn.SyncBatchNorm.convert_sync_batchnorm` has replaced one: what it leaves knows no widths.
        ValueError
            If the channels of a norm, or those of a layer that follow the width, are none of the network's.
        """
        modules = dict(self.named_modules())
        replaced = [name for name, module in modules.items() if isinstance(module, nn.SyncBatchNorm)]
        if replaced:
            raise TypeError(
                f"{replaced[0]} was replaced by SyncBatchNorm, which knows no widths; build the model anew without "
                "convert_sync_batchnorm (train.num_processes averages BN statistics over processes)"
            )
        for name, module in modules.items():
            self._check_channels(name, module)
        for name, module in modules.items():
            if isinstance(module, SharedBatchNorm2d | SwitchableBatchNorm2d):
                yield name, module

    def view(self) -> Self:
        """Return a network with the same weights and a width of its own, for use beside this one in another thread.

        The parameters are the same objects, so what trains one trains both; widths, BN statistics and the mode
        (training or evaluation) are copies. A model itself has one width at a time, whatever thread sets it.
        """
        return copy.deepcopy(self, {id(parameter): parameter for parameter in self.parameters()})

    def set_switches(self, width_mults: Sequence[float] | Mapping[str, float]) -> None:
        """Replace the widths that have BN statistics of their own, or make a width vector the only one.

        All statistics start anew: call `awnlib.evaluation.recalibrate.recalibrate_bn` rather than this.

        Raises
        ------
        ValueError
            If the norms are not switchable, their scale and shift are private to each width, or a width is outside the
            range; nothing is changed then.
        """
        norms = [norm for _, norm in self.norms()]
        switchable = [norm for norm in norms if isinstance(norm, SwitchableBatchNorm2d)]
        if not switchable or len(switchable) < len(norms):
            raise ValueError("only a network whose norms are switchable has switches")
        switches = self._switches_by_name(width_mults)
        for norm in switchable:
            of_parts = [switches[part.channels.name] for part in parts_of(norm.channels)]
            norm.set_switches(max(of_parts))
        for name, channels in self.channels.items():
            channels.trained = tuple(switches[name])

    def _switches_by_name(self, width_mults: Sequence[float] | Mapping[str, float]) -> dict[str, list[float]]:
        """Return for each dimension the rising widths that are to have statistics, if they are in the range."""
        if isinstance(width_mults, Mapping):
            width_mults = self._with_fixed(width_mults)
            for name, width_mult in width_mults.items():
                check_width_mult(width_mult, self.channels[name].min_width_mult)
            return {name: [channels.snap(width_mults[name])] for name, channels in self.channels.items()}
        for width_mult in width_mults:
            check_width_mult(width_mult, self.min_width_mult)
        check_apart(width_mults)
        return dict.fromkeys(self.channels, sorted(self.snap(width_mult) for width_mult in width_mults))

    def _with_fixed(self, width_mults: Mapping[str, float]) -> dict[str, float]:
        """Return a width vector with its largest width for fixed dimensions that it does not name.

        A ValueError if it names others, or not all that follow the width.
        """
        free = [name for name, channels in self.channels.items() if not channels.fixed]
        if not set(free) <= set(width_mults) <= set(self.channels):
            raise ValueError(f"a width vector names {', '.join(free)}, found {', '.join(width_mults) or 'nothing'}")
        largest = max(width_mults.values(), default=1.0)
        return {name: width_mults.get(name, largest) for name in self.channels}

    def _check_channels(self, name: str, layer: nn.Module) -> None:
        """Raise a ValueError if a layer has channels that no `set_width_mult` reaches."""
        dimensions: list[Channels] = []
        if isinstance(layer, SharedBatchNorm2d | SwitchableBatchNorm2d | SlimmableLayerNorm):
            dimensions = [part.channels for part in parts_of(layer.channels)]
        elif isinstance(layer, SlimmableConv2d | SlimmableLinear):
            parts = [*parts_of(layer.channels_in), *parts_of(layer.channels_out)]
            dimensions = [part.channels for part in parts if not part.channels.fixed]
        for channels in dimensions:
            if self.channels.get(channels.name) is not channels:
                known = ", ".join(self.channels)
                raise ValueError(f"{name}: {channels} is none of the channels of {type(self).__name__} ({known})")


def _apart(width_mults: Iterable[float]) -> list[float]:
    """Return rising widths without those that differ by rounding only: counts that change at the same real width."""
    apart: list[float] = []
    for width_mult in sorted(width_mults):
        if not apart or width_mult - apart[-1] > 1e-9:
            apart.append(width_mult)
    return apart


def _representative(start: float, end: float | None, low: float, include: Sequence[float]) -> float:
    if start == low:
        return low
    inside = [width_mult for width_mult in include if start <= width_mult < (end or 2.0)]
    if inside:
        return max(inside)
    return 1.0 if end is None else (start + end) / 2
