r"""All widths of an any-width network from one pass.

In a network of triangular layers with shared norms the features of a width are the first features of every larger
one, in training mode too (`awnlib.layers.conv.TriangularConv2d`). So one forward pass at the largest width holds the
classifier's input of every width, and the $n$ passes of Any-Width Networks, Algorithm 1, are one pass with $n$
classifiers that read prefixes. Losses, gradients and BN statistics are those of the $n$ passes up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.layers import SharedBatchNorm2d, SlimmableLinear
from awnlib.models._base import SlimmableModel
from awnlib.objectives import inplace_distillation


def is_any_width(model: SlimmableModel) -> bool:
    """Whether the features of each width are the first features of every larger one."""
    return model.spec.layer == "triangular" and model.spec.norm == "shared"


def backward_one_pass(
    model: SlimmableModel,
    images: Tensor,
    labels: Tensor,
    width_mults: Sequence[float],
    *,
    distillation: bool = False,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what `awnlib.objectives.backward_widths` does, in one pass at the largest of the widths.

    Parameters
    ----------
    model
        An any-width network in training mode.
    images, labels, width_mults, distillation
        As in `backward_widths`.
    forward
        What to call instead of `model.features` (its compiled form, say).

    Returns
    -------
    losses, corrects
        `[len(width_mults)]` each.

    Raises
    ------
    ValueError
        If the model's features depend on its width.
    """
    if not is_any_width(model):
        raise ValueError("one pass for all widths needs triangular layers and shared norms")
    model.set_width_mult(max(width_mults))
    with _standing_for(model, width_mults):
        inputs = (forward or model.features)(images)
    logits = prefix_logits(model.classifier, inputs, width_mults)
    losses = _losses(logits, labels, distillation=distillation)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    return losses.detach(), (logits.detach().argmax(dim=2) == labels).sum(dim=1)


def prefix_logits(classifier: SlimmableLinear, features: Tensor, width_mults: Sequence[float]) -> Tensor:
    """Return the logits of several widths from the classifier's input at the largest of them.

    Parameters
    ----------
    classifier
        The network's last layer.
    features
        Its input, `[N, channels * features_per_channel]`.
    width_mults
        Widths in any order, repeats allowed, none above that of `features`.

    Returns
    -------
    Tensor
        `[len(width_mults), N, classes]`
    """
    counts = [classifier.channels_in.count(width_mult) for width_mult in width_mults]
    by_count = dict(running_logits(classifier, features, sorted(set(counts))))
    return torch.stack([by_count[count] for count in counts])


def running_logits(classifier: SlimmableLinear, features: Tensor, counts: list[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (count, logits `[N, classes]`) for rising channel counts, adding only the channels that are new.

    All of them together cost what the largest one costs, in time and in memory.
    """
    logits: Tensor | None = None
    start = 0
    for count in counts:
        stop = count * classifier.features_per_channel
        weight = classifier.weight[:, start:stop]
        added = F.linear(features[:, start:stop], weight, classifier.bias if logits is None else None)
        logits = added if logits is None else logits + added
        start = stop
        yield count, logits


def _losses(logits: Tensor, labels: Tensor, *, distillation: bool) -> Tensor:
    hard = len(logits) if not distillation else 1
    losses = [F.cross_entropy(one, labels) for one in logits[:hard]]
    return torch.stack(losses + [inplace_distillation(one, logits[0]) for one in logits[hard:]])


@contextmanager
def _standing_for(model: SlimmableModel, width_mults: Sequence[float]) -> Iterator[None]:
    """Let every norm update its statistics as one pass for each width would: a channel as often as it is kept."""
    norms = [norm for _, norm in model.norms() if isinstance(norm, SharedBatchNorm2d)]
    for norm in norms:
        counts = torch.tensor([norm.channels.count(width_mult) for width_mult in width_mults])
        kept = counts[:, None] > torch.arange(norm.channels.active)
        norm.updates = kept.sum(dim=0).to(norm.weight.device)
    try:
        yield
    finally:
        for norm in norms:
            norm.updates = None
