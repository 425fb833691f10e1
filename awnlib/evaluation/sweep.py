"""Dense width sweeps: accuracy and cost at every distinct width of a network.

An any-width network is swept in one pass (`awnlib.one_pass`), any other one width by width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from awnlib.channels import check_apart, check_width_mult, snap_width_mult
from awnlib.layers import SlimmableNetwork, SwitchableBatchNorm2d
from awnlib.layers.batchnorm import BetweenSwitches
from awnlib.model_cost import cost, output_positions
from awnlib.one_pass import is_any_width

MOST_LOGITS = 2**22  # held at a time, over images, classes and widths: 16 MiB of float32


@torch.no_grad()
def sweep_widths(
    model: SlimmableNetwork,
    batches: Iterable[tuple[Tensor, Tensor]],
    width_mults: Sequence[float] | None = None,
    *,
    trained: Sequence[float] = (),
    most_widths: int | None = None,
    between_switches: BetweenSwitches = "next_larger",
) -> list[dict[str, Any]]:
    """Evaluate a network at many widths.

    Parameters
    ----------
    model
        Is put into evaluation mode, and left at the last width.
    batches
        Normalised test images `[N, C, H, W]` with labels `[N]`; read once.
    width_mults
        Widths to evaluate; by default every distinct one, represented by the trained widths and by those with BN
        statistics of their own where there are any (`SlimmableNetwork.distinct_width_mults`).
    trained
        The fixed widths that were trained.
    most_widths
        If every width needs a pass of its own and there are more by default: choose so many of them, evenly, besides
        the trained ones and those with statistics of their own.
    between_switches
        Which BN statistics the other widths use, if a network has several sets (`SwitchableBatchNorm2d.between`).

    Returns
    -------
    list of dict
        One row for each width: `width_mult`, `switch_width_mult` (whose BN statistics were used; None when one set
        serves all, or two were interpolated), `is_trained`, `test_loss` (nats), `test_top1_pct`, `num_images`,
        `macs`, `macs_dense`, `params`.

    Raises
    ------
    ValueError
        If there is no image or no width, a width or a trained one is outside the model's range, two widths differ by
        rounding only, `most_widths` is below 2, or `between_switches` is no such choice.
    """
    if most_widths is not None and most_widths < 2:
        raise ValueError(f"most_widths must be 2 or more, found {most_widths}")
    if width_mults is None:
        special = [*trained, *model.switch_width_mults]
        width_mults = model.distinct_width_mults(include=special)
        if most_widths is not None and not is_any_width(model):
            width_mults = _thinned(width_mults, most_widths, special)
    if not width_mults:
        raise ValueError("a sweep needs at least one width")
    for width_mult in [*width_mults, *trained]:
        check_width_mult(width_mult, model.min_width_mult)
    check_apart(set(width_mults))
    trained = [model.snap(width_mult) for width_mult in trained]
    width_mults = [snap_width_mult(model.snap(width_mult), trained) for width_mult in width_mults]
    model.set_between_switches(between_switches)
    model.eval()
    logits_of = _logits_from_one_pass if is_any_width(model) else _logits_width_by_width
    rising = sorted(width_mults)  # parts of it are slices: to copy a list of indices to the device would wait for it
    device = next(model.parameters()).device  # sums stay there: reading them would wait for it
    losses, corrects = torch.zeros(2, len(rising), dtype=torch.float64, device=device)
    num_images = 0
    for images, labels in batches:
        num_images += len(labels)
        for some, logits in logits_of(model, images, rising):
            every_label = labels.expand(len(logits), -1)
            some_losses = F.cross_entropy(logits.transpose(1, 2), every_label, reduction="none")
            losses[some] += some_losses.sum(dim=1, dtype=torch.float64)
            corrects[some] += (logits.argmax(dim=2) == labels).sum(dim=1)
    if num_images == 0:
        raise ValueError("a sweep needs at least one test image")
    sums = dict(zip(rising, zip(losses.tolist(), corrects.tolist(), strict=True), strict=True))
    return [
        {
            **row,
            "is_trained": row["width_mult"] in trained,
            "test_loss": loss / num_images,
            "test_top1_pct": 100 * correct / num_images,
            "num_images": num_images,
        }
        for row in _costs(model, width_mults)
        for loss, correct in [sums[row["width_mult"]]]
    ]


def _thinned(width_mults: list[float], count: int, special: Sequence[float]) -> list[float]:
    """Return `count` evenly chosen widths, the ends among them, and all special ones."""
    last = len(width_mults) - 1
    chosen = {index * last // (count - 1) for index in range(count)}
    return [width for index, width in enumerate(width_mults) if index in chosen or width in special]


def _logits_width_by_width(
    model: SlimmableNetwork, images: Tensor, rising: Sequence[float]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the logits of every width, `[1, N, classes]`, with its place in the list of rising widths."""
    for index, width_mult in enumerate(rising):
        model.set_width_mult(width_mult)
        yield slice(index, index + 1), model(images)[None]


def _logits_from_one_pass(
    model: SlimmableNetwork, images: Tensor, rising: Sequence[float]
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the logits of every width, some at a time, from one pass at the largest (`awnlib.one_pass`)."""
    model.set_width_mult(rising[-1])
    head = model.head
    assert head is not None
    counts = [head.channels_in.count(width_mult) for width_mult in rising]
    outputs = head.running_outputs(model.features(images), counts)
    first = next(outputs)
    outputs = chain([first], outputs)
    at_a_time = max(MOST_LOGITS // max(first.numel(), 1), 1)
    for start in range(0, len(rising), at_a_time):
        some = list(islice(outputs, at_a_time))
        yield slice(start, start + len(some)), torch.stack(some)


def _costs(model: SlimmableNetwork, width_mults: Sequence[float]) -> Iterable[dict[str, Any]]:
    positions = output_positions(model)
    norm = next((norm for _, norm in model.norms()), None)
    for width_mult in width_mults:
        model.set_width_mult(width_mult)
        width_cost = cost(model, positions)
        yield {
            "width_mult": width_mult,
            "switch_width_mult": _switch(norm, width_mult),
            "macs": width_cost.macs,
            "macs_dense": width_cost.macs_dense,
            "params": width_cost.params,
        }


def _switch(norm: nn.Module | None, width_mult: float) -> float | None:
    """Return the width whose statistics a norm layer uses, if there is a layer and it uses a single one of several."""
    if not isinstance(norm, SwitchableBatchNorm2d):
        return None
    interpolated = norm.between == "interpolated" and width_mult not in norm.width_mults
    return None if interpolated else norm.switch_width_mult
