"""BN drift: how far the statistics of a network's widths lie apart (Any-Width Networks, section 3, as one number).

Zero, up to rounding, for triangular networks: one set of statistics serves every width. Where it is not, each width
needs statistics of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.channels import check_apart
from awnlib.layers import SlimmableNetwork
from awnlib.layers.segments import indices

EPS = 1e-5  # that of the norm layers: a channel that is constant has no scale of its own


@torch.no_grad()
def bn_drift(model: SlimmableNetwork, batches: Sequence[Tensor], width_mults: Sequence[float]) -> list[dict[str, Any]]:
    r"""Measure the distance between the statistics of each width and those pooled over the widths.

    For a layer's channel with mean $\mu_w$ and deviation $\sigma_w$ at width $w$, and pooled $\mu, \sigma$ (what
    one set of statistics would hold had it seen all widths equally), the drift is

    $$ \sqrt{ \mathrm{mean}_c \; \frac{(\mu_w - \mu)^2 + (\sigma_w - \sigma)^2}{\sigma^2} } $$

    the root-mean-square over the active channels of the 2-Wasserstein distance between the two normal
    distributions, in pooled standard deviations.

    Parameters
    ----------
    model
        Left as it is: a copy is run, normalising by the batches' own statistics.
    batches
        Normalised images, `[N, C, H, W]` each.
    width_mults
        Widths to compare, two at least.

    Returns
    -------
    list of dict
        `layer`, `width_mult`, `drift`: a row for each layer and width, and one for each layer with `width_mult`
        None and the largest drift over the widths.

    Raises
    ------
    ValueError
        If there are fewer than two widths, two differ by rounding only, or there is no image.
    """
    if len(set(width_mults)) < 2:
        raise ValueError(f"drift compares two or more widths, found {list(width_mults)}")
    check_apart(set(width_mults))
    if not sum(len(images) for images in batches):
        raise ValueError("drift needs at least one image")
    moments = {width_mult: layer_moments(model, batches, width_mult) for width_mult in width_mults}
    rows: list[dict[str, Any]] = []
    for layer, norm in model.norms():
        values = [moments[width_mult][layer] for width_mult in width_mults]
        kept = [indices(norm.channels, width_mult) for width_mult in width_mults]
        mean, square = (_mean_over_widths([value[i] for value in values], kept, norm.channels.full) for i in (0, 1))
        drifts = [_distance(value, (mean[where], square[where])) for value, where in zip(values, kept, strict=True)]
        rows += [
            {"layer": layer, "width_mult": width_mult, "drift": drift}
            for width_mult, drift in [*zip(width_mults, drifts, strict=True), (None, max(drifts))]
        ]
    return rows


Moments = tuple[Tensor, Tensor]  # mean and mean square of each active channel


@torch.no_grad()
def layer_moments(model: SlimmableNetwork, batches: Sequence[Tensor], width_mult: float) -> dict[str, Moments]:
    """Return mean and mean square of every norm layer's input at one width, `[active]` each, in float64.

    The model is left as it is: a copy is run in training mode, normalising by the batches' own statistics.
    """
    model = copy.deepcopy(model).train()
    model.set_width_mult(width_mult)
    sums: dict[str, Tensor] = {}

    def add(layer: str, x: Tensor) -> None:
        x = x.double()
        others = [dim for dim in range(x.ndim) if dim != 1]
        batch = torch.stack([x.mean(dim=others), x.square().mean(dim=others)]) * len(x)
        sums[layer] = sums.get(layer, 0) + batch

    for layer, norm in model.norms():

        def hook(_: nn.Module, inputs: tuple[Tensor], layer: str = layer) -> None:
            add(layer, inputs[0])

        norm.register_forward_pre_hook(hook)
    for images in batches:
        model(images)
    num_images = sum(len(images) for images in batches)
    return {layer: (total[0] / num_images, total[1] / num_images) for layer, total in sums.items()}


def _mean_over_widths(values: list[Tensor], kept: list[Tensor], full: int) -> Tensor:
    """Return the mean of each channel over the widths that keep it."""
    padded = torch.full((len(values), full), torch.nan, dtype=torch.float64)
    for row, value, where in zip(padded, values, kept, strict=True):
        row[where] = value.cpu()
    return padded.nanmean(dim=0)


def _distance(moments: Moments, pooled: Moments) -> float:
    mean, deviation = _mean_and_deviation(moments)
    pooled_mean, pooled_deviation = _mean_and_deviation(pooled)
    squares = ((mean - pooled_mean) ** 2 + (deviation - pooled_deviation) ** 2) / (pooled_deviation**2 + EPS)
    return float(squares.mean().sqrt())


def _mean_and_deviation(moments: Moments) -> Moments:
    mean, square = moments[0].cpu(), moments[1].cpu()
    return mean, (square - mean**2).clamp(min=0).sqrt()
