"""What one training step asks of the network: which widths, and how much the loss of each weighs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from awnlib.channels import evenly_spaced
from awnlib.tasks import Width
from awnlib.training.methods import ALWAYS, Method


def fixed_widths(method: Method, widths: Sequence[float], distinct: Sequence[float] = ()) -> list[float]:
    """Return the widths that a method trains in every step, largest first.

    All of the study's `widths`, or `num_widths` of them evenly spaced from the largest to the smallest when that
    number differs (Any-Width Networks, figure 4); for sampled widths the ends that the rule always has.

    Parameters
    ----------
    method
        Its settings.
    widths
        The study's fixed widths, largest first.
    distinct
        Every distinct width of the model, needed for a method that trains all of them.
    """
    if method.widths == "all":
        return sorted(distinct, reverse=True)
    if method.draws_widths:
        return [widths[index] for index in ALWAYS[method.widths]]
    count = method.num_widths or len(widths)
    if count == len(widths):
        return list(widths)
    return evenly_spaced(widths[0], widths[-1], count)


def sample_widths(
    method: Method,
    widths: Sequence[float],
    generator: torch.Generator,
    distinct: Sequence[float] = (),
    dimensions: Sequence[str] = (),
) -> list[Width]:
    """Return the widths of one step, largest first where the method has the largest.

    Parameters
    ----------
    method
        `widths: fixed` gives always the same; `sandwich` the largest, the smallest and `num_widths - 2` drawn
        uniformly between them (US-Nets, section 4.1; Any-Width Networks, Algorithm 1); `min_random` the smallest,
        `max_random` the largest and `num_widths - 1` uniform draws (US-Nets, table 2); `random` `num_widths` uniform
        draws; `all` every distinct width. With `widths_per_layer` a draw is a width vector of independent multipliers
        (US-Nets, section 6).
    widths
        The study's fixed widths, largest first. The ends are the range of random widths; their number is the
        default of `num_widths`.
    generator
        Source of the random widths.
    distinct
        As in `fixed_widths`.
    dimensions
        The names of the model's `channels`, needed for a method with `widths_per_layer`.
    """
    always = fixed_widths(method, widths, distinct)
    if not method.draws_widths:
        return [*always]
    count = max((method.num_widths or len(widths)) - len(always), 0)
    low, high = widths[-1], widths[0]
    shape = (count, len(dimensions)) if method.widths_per_layer else (count,)
    drawn = (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)).tolist()
    if method.widths_per_layer:
        drawn = [dict(zip(dimensions, vector, strict=True)) for vector in drawn]
    return [*always, *drawn]


def label_share(method: Method, progress: float) -> float:
    """Return the share of the label's loss in that of a narrower width, which learns from the largest one's output.

    US-Nets, section 4.2, tried a constant and a decaying balance of the two losses, without their numbers, and found
    both worse than none.

    Parameters
    ----------
    method
        Its settings.
    progress
        The part of the training that is done, from 0 to 1.
    """
    return method.label_share * (1 - progress if method.label_share_decay == "linear" else 1.0)


def loss_weights(method: Method, widths: Sequence[float], trained: Sequence[Width]) -> list[float]:
    """Return the factor of each trained width's loss.

    One for every width, except when all widths are trained: then the weights sum to `num_widths`, so that one learning
    rate fits both. With emphasis "uniform" they are equal; with "ends" the largest and the smallest weigh one each, and
    all share the rest, which is what the sandwich rule does on average.

    Parameters
    ----------
    method, widths
        As in `fixed_widths`.
    trained
        The widths of a step, largest first.
    """
    if method.widths != "all":
        return [1.0] * len(trained)
    total = method.num_widths or len(widths)
    ends = 1.0 if method.emphasis == "ends" else 0.0
    inner = (total - 2 * ends) / len(trained)
    return [inner + ends * (index in (0, len(trained) - 1)) for index in range(len(trained))]
