"""Batch normalisation for networks of selectable width: one set of statistics for all widths, or one per width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import Channels, check_apart, check_width_mult
from awnlib.layers.padding import pad_last
from awnlib.layers.segments import Axis, Segments, put, runs_of, take
from awnlib.settings import check_choice

BetweenSwitches = Literal["next_larger", "interpolated"]
Affine = Literal["private", "shared"]


class Vectors(NamedTuple):
    """What a norm layer applies in evaluation, `[active]` each."""

    mean: Tensor
    var: Tensor
    weight: Tensor
    bias: Tensor


class SharedBatchNorm2d(nn.BatchNorm2d):
    """One set of parameters and statistics for every width: the first active entries are used and updated.

    Right for triangular layers, whose features do not depend on the width. Over sliced layers the statistics mix
    those of all widths and fit none (Any-Width Networks, section 3): the "Standard BN" of its table 1.

    Parameters
    ----------
    channels
        The dimension that is normalised.
    eps, momentum
        As in `torch.nn.BatchNorm2d`. A momentum of None, an average over all batches, is right for one width at a time
        only, and waits for the device to read the number of batches.

    Attributes
    ----------
    updates
        How often one pass in training mode updates the statistics of each channel, `[active]`; None for once.
        It lets one pass stand for passes at several widths, each of which would update the channels that it keeps.

    Shapes
    ------
    input and output `[N, active, H, W]`
    """

    def __init__(self, channels: Channels, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels.full, eps=eps, momentum=momentum)
        self.channels = channels
        self.updates: Tensor | None = None

    def extra_repr(self) -> str:
        """Say how many channels are active, and of which norm."""
        return f"active {self.channels.active} of {super().extra_repr()}"  # type: ignore[no-untyped-call]

    @property
    def statistics(self) -> nn.BatchNorm2d:
        """The layer that stores the statistics in use: itself."""
        return self

    def vectors(self) -> Vectors:
        """Return what is applied at the active width in evaluation, as views."""
        return _first(self, self, self.channels.active)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise at the active width; in training mode update the statistics of the active channels."""
        if self.training and self.updates is not None:
            return self._normalise_with_updates(input, self.updates)
        return _normalise(input, self.channels, statistics=self, affine=self)

    def _normalise_with_updates(self, input: Tensor, updates: Tensor) -> Tensor:
        """Update each channel's statistics c times with the same batch: weight 1 - (1 - momentum)^c for the batch."""
        active, padding = self.channels.active, self.channels.padding
        running_mean, running_var = running_statistics(self, active)
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, var = running_mean.new_zeros(2, active + padding)
        weight, bias = pad_last(self.weight[:active], padding), pad_last(self.bias[:active], padding)
        output = F.batch_norm(input, mean, var, weight, bias, True, 1.0, self.eps)
        share = 1 - (1 - self.momentum) ** updates.to(mean.dtype)
        running_mean.lerp_(mean[:active], share)
        running_var.lerp_(var[:active], share)
        self.num_batches_tracked.add_(updates.max())
        return output


class SwitchableBatchNorm2d(nn.Module):
    """One set of statistics for each of a list of widths ("S-BN"; Slimmable Neural Networks, section 3).

    In evaluation a width between two listed ones uses the statistics of the next larger one, first channels
    (Any-Width Networks, section 5.1), or those of its two neighbours, interpolated. In training a width that is not
    listed is normalised by its batch and tracked nowhere (US-Nets, section 3.2, compute its statistics after training).

    Parameters
    ----------
    channels
        The dimension that is normalised, or `Segments` of several. Then the statistics of every width have an entry for
        every channel, used or not: the channels of a narrower width are not the first ones of a wider one.
    width_mults
        The widths that have statistics of their own; they become the `trained` widths of `channels`.
    affine
        Scale and shift: "private" to each width as in S-Nets, or "shared" by all as in US-Nets.

    Attributes
    ----------
    between
        What a width between two listed ones uses in evaluation: "next_larger", or "interpolated", linear in the width
        between the next smaller and the next larger one (private scales and shifts too; channels that the smaller one
        lacks are those of the larger one). Not saved with the weights.

    Shapes
    ------
    input and output `[N, active, H, W]`

    Raises
    ------
    ValueError
        If a width is outside the dimension's range or listed twice (but for rounding), or `affine` or `between` is no
        such choice; in evaluation, if the active width is larger than every listed one.
    """

    def __init__(
        self,
        channels: Axis,
        width_mults: Sequence[float],
        *,
        affine: Affine = "private",
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        check_choice("affine", affine, Affine)
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.momentum = momentum
        self.private = affine == "private"
        self.between: BetweenSwitches = "next_larger"
        if not self.private:
            self.weight = nn.Parameter(torch.empty(channels.full))
            self.bias = nn.Parameter(torch.empty(channels.full))
        self.reset_parameters()
        self.width_mults: list[float] = []
        self.norms = nn.ModuleList()
        self._create(width_mults)

    def reset_parameters(self) -> None:
        """Let a shared scale and shift begin anew; the norms of the switches have theirs and all statistics."""
        if not self.private:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def set_switches(self, width_mults: Sequence[float]) -> None:
        """Replace the list of widths; all statistics start anew.

        Raises
        ------
        ValueError
            If scale and shift are private: they would be lost with the statistics.
        """
        if self.private:
            raise ValueError("switches with private scale and shift are trained, they cannot be replaced")
        self._create(width_mults)

    @property
    def between(self) -> BetweenSwitches:
        """What a width between two listed ones uses in evaluation."""
        return self._between

    @between.setter
    def between(self, value: BetweenSwitches) -> None:
        check_choice("between", value, BetweenSwitches)
        self._between = value

    @property
    def switch_width_mult(self) -> float:
        """The listed width whose statistics are used in evaluation: the next larger one."""
        return next_larger(self.channels.width_mult, self.width_mults)

    @property
    def statistics(self) -> nn.BatchNorm2d:
        """The layer that stores the statistics in use in evaluation."""
        return self._norm(self.switch_width_mult)

    def vectors(self) -> Vectors:
        """Return what is applied at the active width in evaluation."""
        width_mult = self.channels.width_mult
        larger = _active(self.statistics, self._affine, self.channels)
        smaller = max([switch for switch in self.width_mults if switch < width_mult], default=width_mult)
        if self.between == "next_larger" or width_mult in (smaller, self.switch_width_mult):
            return larger
        norm = self._norm(smaller)
        share = (width_mult - smaller) / (self.switch_width_mult - smaller)
        affine = norm if self.private else self
        if isinstance(self.channels, Segments):
            known = self._known(smaller, larger.mean.device)
            pairs = zip(_active(norm, affine, self.channels), larger, strict=True)
            return Vectors(*(torch.where(known, torch.lerp(*pair, share), pair[1]) for pair in pairs))
        kept = norm.num_features
        pairs = zip(_first(norm, affine, kept), larger, strict=True)
        return Vectors(*(torch.cat([torch.lerp(few, many[:kept], share), many[kept:]]) for few, many in pairs))

    def _known(self, width_mult: float, device: torch.device) -> Tensor:
        """Return which of the active channels a smaller width has."""
        known = torch.zeros(self.channels.full, dtype=torch.bool, device=device)
        for start, length in runs_of(self.channels, width_mult):
            known[start : start + length] = True
        return take(known, self.channels)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise at the active width with the statistics of its switch."""
        if not self.training:
            mean, var, weight, bias = self.vectors()
            return F.batch_norm(input, mean, var, weight, bias, eps=self.eps)
        if self.channels.width_mult not in self.width_mults:
            return F.batch_norm(input, None, None, *self._affine_of_batch(), training=True, eps=self.eps)
        return _normalise(input, self.channels, statistics=self.statistics, affine=self._affine)

    def extra_repr(self) -> str:
        """Say which widths have statistics."""
        return f"{self.channels}, width_mults={self.width_mults}, affine={'private' if self.private else 'shared'}"

    def _create(self, width_mults: Sequence[float]) -> None:
        for width_mult in width_mults:
            check_width_mult(width_mult, self.channels.min_width_mult)
        if not width_mults:
            raise ValueError("width_mults must be one or more widths, found none")
        check_apart(width_mults)
        self.width_mults = sorted(self.channels.snap(width_mult) for width_mult in width_mults)
        self.channels.trained = tuple(self.width_mults)
        like = next(self.buffers()) if self.norms else torch.empty(0)
        whole = isinstance(self.channels, Segments)
        counts = [self.channels.full if whole else self.channels.count(width_mult) for width_mult in self.width_mults]
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(count, self.eps, self.momentum, affine=self.private, device=like.device, dtype=like.dtype)
            for count in counts
        )

    @property
    def _affine(self) -> nn.BatchNorm2d | SwitchableBatchNorm2d:
        """The layer that stores the scale and shift in use."""
        return self.statistics if self.private else self

    def _norm(self, width_mult: float) -> nn.BatchNorm2d:
        norm = self.norms[self.width_mults.index(width_mult)]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def _affine_of_batch(self) -> tuple[Tensor, Tensor]:
        source = self._affine
        return take(source.weight, self.channels), take(source.bias, self.channels)


def running_statistics(norm: nn.BatchNorm2d, count: int) -> tuple[Tensor, Tensor]:
    """Return the stored mean and variance of the first `count` channels, as views."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean[:count], norm.running_var[:count]


def batchnorm_statistics(model: nn.Module) -> list[Tensor]:
    """Return the stored means and variances of all norm layers and switches of a model."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return [statistic for norm in norms for statistic in running_statistics(norm, norm.num_features)]


def _first(statistics: nn.BatchNorm2d, affine: nn.BatchNorm2d | SwitchableBatchNorm2d, count: int) -> Vectors:
    return Vectors(*running_statistics(statistics, count), affine.weight[:count], affine.bias[:count])


def active_statistics(norm: nn.BatchNorm2d, axis: Axis) -> tuple[Tensor, Tensor]:
    """Return the stored mean and variance of the active channels: views, but copies of several stretches."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return take(norm.running_mean, axis), take(norm.running_var, axis)


def _active(statistics: nn.BatchNorm2d, affine: nn.BatchNorm2d | SwitchableBatchNorm2d, axis: Axis) -> Vectors:
    return Vectors(*active_statistics(statistics, axis), take(affine.weight, axis), take(affine.bias, axis))


def next_larger(width_mult: float, width_mults: Sequence[float]) -> float:
    """Return the smallest of `width_mults` that is not below `width_mult`.

    Raises
    ------
    ValueError
        If there is none.
    """
    larger = [candidate for candidate in width_mults if candidate >= width_mult]
    if not larger:
        raise ValueError(f"no BN statistics for width_mult {width_mult!r}: the largest is {max(width_mults)!r}")
    return min(larger)


def _normalise(
    input: Tensor, axis: Axis, *, statistics: nn.BatchNorm2d, affine: nn.BatchNorm2d | SwitchableBatchNorm2d
) -> Tensor:
    """`F.batch_norm` with the active entries of all vectors; the momentum rule is that of `torch.nn.BatchNorm2d`."""
    momentum = statistics.momentum
    if statistics.training:
        assert statistics.num_batches_tracked is not None
        statistics.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1.0 / float(statistics.num_batches_tracked)
    mean, var, weight, bias = _active(statistics, affine, axis)
    output = F.batch_norm(input, mean, var, weight, bias, statistics.training, momentum or 0.0, statistics.eps)
    if statistics.training and len(runs_of(axis)) > 1:  # what was updated are copies
        put(statistics.running_mean, axis, mean)
        put(statistics.running_var, axis, var)
    return output
