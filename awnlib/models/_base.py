"""`SlimmableModel`: what every network of selectable width can do."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from torch import Tensor, nn

from awnlib.channels import Channels, check_apart, check_width_mult, snap_width_mult
from awnlib.layers import PrefixHead, SharedBatchNorm2d, SlimmableLinear, SwitchableBatchNorm2d
from awnlib.layers.batchnorm import BetweenSwitches
from awnlib.models._spec import ModelSpec
from awnlib.models._weights import differences
from awnlib.settings import check_choice

Norm = SharedBatchNorm2d | SwitchableBatchNorm2d
StageBlocks = tuple[tuple[tuple[str, ...], ...], ...]
"""For each stage and each of its blocks the names of the dimensions that belong to this block alone."""


class SlimmableModel(nn.Module):
    """A network whose width is chosen at run time.

    The width is state of the model, as the mode is: threads that use different widths take a `view` each. Subclasses
    create their `channels` and layers from a `ModelSpec` and define `features`.

    Raises
    ------
    ValueError
        If `spec.depth_mult` is not 1 and the network has no blocks to repeat.

    Attributes
    ----------
    spec
        What the model was built from.
    channels
        Its slimmable dimensions by name, in the order of the layers.
    stage_blocks
        For each stage and each of its blocks the names of the `channels` that belong to this block alone; empty for a
        network that does not repeat blocks. `spec.depth_mult` times as many blocks as the plain network's.
    head
        The last layer: `classifier`, unless a subclass says otherwise. `forward(images)` is `head(features(images))`.
    """

    classifier: SlimmableLinear

    def __init__(self, spec: ModelSpec, channels: dict[str, Channels], stage_blocks: StageBlocks = ()) -> None:
        super().__init__()
        if spec.depth_mult != 1 and not stage_blocks:
            raise ValueError(f"{spec.name} has no blocks to repeat: depth_mult must be 1, found {spec.depth_mult}")
        self.spec = spec
        self.channels = channels
        self.stage_blocks = stage_blocks

    def extra_repr(self) -> str:
        """Say at which width the network is, or each of its dimensions if they differ."""
        widths = {name: channels.width_mult for name, channels in self.channels.items()}
        different = set(widths.values())
        return f"width_mult={different.pop()}" if len(different) == 1 else f"widths={widths}"

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load tensors as every module does; a RuntimeError says with a few names how they differ."""
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            different = differences(self.state_dict(), state_dict)
            hint = "(for those of torchvision's networks there is awnlib.models.load_torchvision_weights)"
            raise RuntimeError(f"tensors that do not fit {self.spec.name}: {different or error} {hint}") from None

    @property
    def head(self) -> PrefixHead:
        """The last layer, which reads the features."""
        return self.classifier

    def features(self, images: Tensor) -> Tensor:
        """Return the head's input at the active width, `[N, active * features_per_channel]`."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the head's output at the active width: of a classifier the logits, `[N, classes]`."""
        return self.head(self.features(images))

    def draw_weights(self) -> None:
        """Draw the weights that do not start as torch's own layers do; called last by the constructor."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew and forget all statistics, as in a new model: what a model needs after `to_empty`.

        The widths and the switches stay as they are.
        """
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if module is not self and reset is not None:
                reset()
        self.draw_weights()

    def set_width_mult(self, width_mult: float) -> None:
        """Set every dimension to one width multiplier.

        Raises
        ------
        ValueError
            If it is outside `[min_width_mult, 1]` by more than rounding.
        TypeError
            If it is no number.
        """
        check_width_mult(width_mult, self.spec.min_width_mult)
        for channels in self.channels.values():
            channels.set_width_mult(width_mult)

    def set_widths(self, width_mults: Mapping[str, float]) -> None:
        """Set each dimension to a multiplier of its own (a width vector).

        Raises
        ------
        ValueError
            If a dimension is missing or unknown, or a multiplier is outside the range; nothing is changed then.
        """
        self._check_names(width_mults)
        for width_mult in width_mults.values():
            check_width_mult(width_mult, self.spec.min_width_mult)
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
        switches = self.spec.switches if isinstance(self.spec.switches, list) else []
        return snap_width_mult(width_mult, (self.spec.min_width_mult, *switches, 1.0))

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
        low = self.spec.min_width_mult
        include = [self.snap(width_mult) for width_mult in include]
        changes = {width_mult for channels in self.channels.values() for width_mult, _ in channels.steps}
        starts = [low, *_apart(width_mult for width_mult in changes if low < width_mult <= 1)]
        ends = [*starts[1:], None]
        return [_representative(start, end, low, include) for start, end in zip(starts, ends, strict=True)]

    def norms(self) -> Iterator[tuple[str, Norm]]:
        """Yield the BN layers with their names, in the order of the layers.

        Raises
        ------
        TypeError
            If `torch.nn.SyncBatchNorm.convert_sync_batchnorm` has replaced one: what it leaves knows no widths.
        """
        modules = dict(self.named_modules())
        replaced = [name for name, module in modules.items() if isinstance(module, nn.SyncBatchNorm)]
        if replaced:
            raise TypeError(
                f"{replaced[0]} was replaced by SyncBatchNorm, which knows no widths; build the model anew without "
                "convert_sync_batchnorm (train.num_processes averages BN statistics over processes)"
            )
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
        if self.spec.norm != "switchable":
            raise ValueError("only a model with norm 'switchable' has switches")
        if isinstance(width_mults, Mapping):
            self._check_names(width_mults)
        for width_mult in width_mults.values() if isinstance(width_mults, Mapping) else width_mults:
            check_width_mult(width_mult, self.spec.min_width_mult)
        if isinstance(width_mults, Mapping):
            switches: list[float] | dict[str, float] = {name: self.snap(width) for name, width in width_mults.items()}
        else:
            check_apart(width_mults)
            switches = sorted(self.snap(width_mult) for width_mult in width_mults)
        spec = self.spec.model_copy(update={"switches": switches})
        for channels in self.channels.values():
            channels.trained = tuple(spec.switches_of(channels.name))
        for _, norm in self.norms():
            assert isinstance(norm, SwitchableBatchNorm2d)
            norm.set_switches(spec.switches_of(norm.channels.name))
        self.spec = spec

    def _check_names(self, names: Mapping[str, float]) -> None:
        if set(names) != set(self.channels):
            raise ValueError(f"a width vector names {', '.join(self.channels)}, found {', '.join(names) or 'nothing'}")


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
