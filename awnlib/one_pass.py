r"""All widths of an any-width network from one pass.

In a network of triangular layers with shared norms the features of a width are the first features of every larger
one, in training mode too (`awnlib.layers.conv.TriangularConv2d`). So one forward pass at full width holds the
head's input of every width, and the $n$ passes of Any-Width Networks, Algorithm 1, are one pass with $n$ heads that
read prefixes (`awnlib.layers.head`). Losses, gradients and BN statistics are those of the $n$ passes up to rounding.

The sampled widths enter as a tensor of channel counts, so that no shape and no Python value depends on the draw: the
step compiles to one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from awnlib.convert.converted import ConvertedNetwork
from awnlib.layers import (
    SharedBatchNorm2d,
    SlimmableConv2d,
    SlimmableLayerNorm,
    SlimmableLinear,
    SlimmableNetwork,
    SwitchableBatchNorm2d,
)
from awnlib.layers.triangle import Staircase

M = TypeVar("M")
Updates = Literal["each", "once"]
MOST_OUTPUTS = 2**22  # numbers held at a time in a sweep, over images, outputs and widths: 16 MiB of float32
LANES = 16  # channels for which bfloat16 convolutions are fast; with float32, padding to it was measured to cost 7 %
MOST_PADDING = 0.1  # empty channels for each real one


def is_any_width(model: SlimmableNetwork) -> bool:
    """Whether the features of each width are the first features of every larger one, and a head reads prefixes of them.

    So it is if one set of BN statistics serves all widths and every layer before the head is triangular, reads the same
    inputs at every width, or convolves each channel alone. What else `forward` does must not mix channels.
    """
    head = model.head
    if head is None or isinstance(model, ConvertedNetwork):
        return False
    of_head = set(head.modules()) if isinstance(head, nn.Module) else set()
    return not any(_depends_on_width(layer) for layer in model.modules() if layer not in of_head)


def _depends_on_width(layer: nn.Module) -> bool:
    if isinstance(layer, SlimmableConv2d | SlimmableLinear):
        alone = isinstance(layer, SlimmableConv2d) and layer.depthwise
        return not (isinstance(layer, Staircase) or layer.channels_in.fixed or alone)
    return isinstance(layer, SwitchableBatchNorm2d | SlimmableLayerNorm)


def channel_counts(model: SlimmableNetwork, width_mults: Sequence[float]) -> Tensor:
    """Return the channel counts of several widths, `[len(model.channels), len(width_mults)]`."""
    return torch.tensor([[c.count(width_mult) for width_mult in width_mults] for c in model.channels.values()])


def outputs_of_prefixes(model: SlimmableNetwork, inputs: Tensor, counts: Tensor, updates: Updates) -> Tensor:
    """Return the outputs of several widths, `[n, N, ...]`, from one pass at full width in training mode.

    Parameters
    ----------
    model
        An any-width network in training mode, at full width.
    inputs
        One batch, `[N, C, H, W]`.
    counts
        The widths, as `channel_counts` gives them, on the device.
    updates
        How often the BN statistics of a channel are updated: once for "each" width that keeps it, as Any-Width
        Networks, Algorithm 1, does, or "once".
    """
    rows = dict(zip(model.channels, counts, strict=True))
    for _, norm in model.norms():
        assert isinstance(norm, SharedBatchNorm2d)
        kept = _kept(rows[norm.channels.name], norm.channels.full)
        norm.updates = kept if updates == "each" else torch.ones_like(kept)
    features = model.features(inputs)
    for _, norm in model.norms():
        norm.updates = None
    head = model.head
    assert head is not None
    return head.prefix_outputs(features, rows[head.channels_in.name])


def backward_at_full_width(
    model: SlimmableNetwork, losses_of_widths: Callable[[], tuple[Tensor, M]], *, weights: Tensor | None = None
) -> tuple[Tensor, M]:
    """Add the gradients of the losses of several widths, from one pass at full width.

    Parameters
    ----------
    model
        An any-width network in training mode; it is set to full width.
    losses_of_widths
        Returns the losses, `[n]`, from `outputs_of_prefixes` say, and anything besides.
    weights
        Factor of each loss, `[n]`, on the device; by default 1.

    Returns
    -------
    losses, anything besides
        The losses without weights and gradient.

    Raises
    ------
    ValueError
        If the model's features depend on its width.
    """
    if not is_any_width(model):
        raise ValueError("one pass for all widths needs triangular layers, shared norms and a head")
    model.set_width_mult(1.0)
    with _padded(model):
        losses, besides = losses_of_widths()
    total = losses.sum() if weights is None else (losses * weights).sum()
    total.backward()  # type: ignore[no-untyped-call]
    return losses.detach(), besides


def outputs_of_widths(
    model: SlimmableNetwork, inputs: Tensor, rising: Sequence[float]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the outputs of every one of rising widths in evaluation mode, some widths at a time.

    From one pass at the largest where that is exact, else width by width.

    Yields
    ------
    slice, Tensor
        Which of the widths, and their outputs, `[n, N, ...]`.
    """
    if not is_any_width(model):
        for index, width_mult in enumerate(rising):
            model.set_width_mult(width_mult)
            yield slice(index, index + 1), model(inputs)[None]
        return
    head = model.head
    assert head is not None
    model.set_width_mult(rising[-1])
    counts = [head.channels_in.count(width_mult) for width_mult in rising]
    outputs = head.running_outputs(model.features(inputs), counts)
    first = next(outputs)
    outputs = chain([first], outputs)
    at_a_time = max(MOST_OUTPUTS // max(first.numel(), 1), 1)
    for start in range(0, len(rising), at_a_time):
        some = list(islice(outputs, at_a_time))
        yield slice(start, start + len(some)), torch.stack(some)


@contextmanager
def _padded(model: SlimmableNetwork) -> Iterator[None]:
    """In bfloat16, pad channel counts such as 45 to a multiple of the vector length where that adds few channels."""
    if not torch.is_autocast_enabled(next(model.parameters()).device.type):
        yield
        return
    for channels in model.channels.values():
        channels.lanes = LANES if -channels.full % LANES <= MOST_PADDING * channels.full else 1
    try:
        yield
    finally:
        for channels in model.channels.values():
            channels.lanes = 1


def _kept(counts: Tensor, full: int) -> Tensor:
    """Return how many of the widths keep each channel, `[full]`."""
    return (counts[:, None] > torch.arange(full, device=counts.device)).sum(dim=0)
