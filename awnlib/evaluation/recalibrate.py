"""BN statistics computed after training, for any width ("BN calibration", "post-statistics", "PreciseBN").

A network of sliced layers needs statistics for each width that it is used at (US-Nets, section 3.2). They are computed
from training images without labels; weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from awnlib.channels import check_apart
from awnlib.layers import SharedBatchNorm2d, SlimmableNetwork, SwitchableBatchNorm2d
from awnlib.layers.batchnorm import active_statistics
from awnlib.settings import check_choice

Averaging = Literal["exact", "moving"]


class RecalibrationError(RuntimeError):
    """Recalibration left statistics that cannot be right."""


@torch.no_grad()
def recalibrate_bn(
    model: SlimmableNetwork,
    batches: Sequence[Tensor],
    widths: Sequence[float] | Mapping[str, float],
    *,
    averaging: Averaging = "exact",
    momentum: float = 0.1,
) -> None:
    """Compute the BN statistics of every norm layer anew, for a list of widths or for one width vector.

    Parameters
    ----------
    model
        With switchable norms and a shared scale and shift (US-Nets), the given widths become its switches. With private
        ones (S-Nets) the statistics of some or all of its switches are renewed, after weights were averaged, say. With
        shared norms one width or one width vector can be given; the statistics of channels that it does not keep are
        reset. A network without norms has nothing to compute. The model is left at the last of the widths.
    batches
        Normalised training images, `[N, C, H, W]` each. 1,000 to 2,000 images are enough (US-Nets, section 3.2 and
        table 3).
    widths
        Width multipliers, or a multiplier for each of the model's `channels`.
    averaging
        "exact": the mean over batches of their means and unbiased variances, each weighted by its share of the images
        (US-Nets, equation 8). "moving": the moving average that training keeps (equation 5), which still remembers its
        start after few batches.
    momentum
        Of the moving average.

    Raises
    ------
    ValueError
        If there is no image or no width, a width is outside the model's range or no switch of an S-Net, a model with
        shared norms is given several widths, or `averaging` is no such choice.
    RecalibrationError
        If the statistics of a layer did not change, or are not finite.
    """
    check_choice("averaging", averaging, Averaging)
    settings: list[float | Mapping[str, float]] = [widths] if isinstance(widths, Mapping) else list(widths)
    if not settings or not batches or not all(len(images) for images in batches):
        raise ValueError("recalibration needs at least one width and one batch, and no batch without images")
    norms = [norm for _, norm in model.norms()]
    if len(settings) > 1 and any(isinstance(norm, SharedBatchNorm2d) for norm in norms):
        raise ValueError(f"shared norms keep statistics for one width at a time, found {len(settings)} widths")
    if any(isinstance(norm, SwitchableBatchNorm2d) for norm in norms):
        _choose_switches(model, widths)
    for width in settings:
        model.set_width(width)
        with _renewed_statistics(model) as layers:
            num_images = 0
            for images in batches:
                num_images += len(images)
                for statistics in layers:
                    statistics.momentum = len(images) / num_images if averaging == "exact" else momentum
                model(images)
        _check(model, width)


def _choose_switches(model: SlimmableNetwork, widths: Sequence[float] | Mapping[str, float]) -> None:
    """Make widths the switches of a model; with a private scale and shift they must be some of its switches already."""
    norms = [norm for _, norm in model.norms() if isinstance(norm, SwitchableBatchNorm2d)]
    if not any(norm.private for norm in norms):
        model.set_switches(widths)
        return
    if not isinstance(widths, Mapping):
        check_apart(widths)
    if not all(_are_switches(widths, norm) for norm in norms):
        switches = {norm.channels.name: norm.width_mults for norm in norms}
        every = list(switches.values())
        raise ValueError(
            "scale and shift are private to each width: only the statistics of trained widths can be computed anew "
            f"({every[0] if every.count(every[0]) == len(every) else switches}), found {widths}"
        )


def _are_switches(widths: Sequence[float] | Mapping[str, float], norm: SwitchableBatchNorm2d) -> bool:
    """Whether a norm has statistics for some widths, or for its part of a width vector and for nothing else."""
    if isinstance(widths, Mapping):
        name = norm.channels.name
        return name in widths and norm.width_mults == [norm.channels.snap(widths[name])]
    return {norm.channels.snap(width_mult) for width_mult in widths} <= set(norm.width_mults)


@contextmanager
def _renewed_statistics(model: SlimmableNetwork) -> Iterator[list[nn.BatchNorm2d]]:
    """Reset the statistics of the active width, let forward passes update them and nothing else, and yield the layers.

    Their momenta are afterwards those of before.
    """
    training = model.training
    model.eval()
    layers = [(norm, norm.statistics) for _, norm in model.norms()]
    momenta = [statistics.momentum for _, statistics in layers]
    for norm, statistics in layers:
        statistics.reset_running_stats()
        norm.train()
    try:
        yield [statistics for _, statistics in layers]
    finally:
        for (_, statistics), before in zip(layers, momenta, strict=True):
            statistics.momentum = before
        model.train(training)


def _check(model: SlimmableNetwork, width: float | Mapping[str, float]) -> None:
    """Refuse statistics that are still those of the reset: a model that never updates them fails silently else."""
    for name, norm in model.norms():
        mean, var = active_statistics(norm.statistics, norm.channels)
        if not (mean.isfinite().all() and var.isfinite().all()):
            raise RecalibrationError(f"the statistics of {name} at width {width} are not finite")
        if not mean.any() and bool((var == 1).all()):
            raise RecalibrationError(f"the statistics of {name} at width {width} did not change")
