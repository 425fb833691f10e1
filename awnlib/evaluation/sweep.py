"""Dense width sweeps: what a network is worth, and what it costs, at every distinct width.

An any-width network is swept in one pass (`awnlib.one_pass`), any other one width by width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.channels import check_apart, check_width_mult, snap_width_mult
from awnlib.layers import SlimmableNetwork, SwitchableBatchNorm2d
from awnlib.layers.batchnorm import BetweenSwitches
from awnlib.model_cost import cost, output_positions
from awnlib.one_pass import is_any_width
from awnlib.tasks import Task, create_task


@torch.no_grad()
def sweep_widths(
    model: SlimmableNetwork,
    test: Iterable[tuple[Tensor, Tensor]] | Task,
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
    test
        Batches of normalised test images `[N, C, H, W]` with labels `[N]`, read once; or a task (`awnlib.create_task`),
        which judges the network on test sets of its own.
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
        One row for each width, test set and metric: `width_mult`, `switch_width_mult` (whose BN statistics were used;
        None when one set serves all, or two were interpolated), `is_trained`, `test_set`, `metric` (of classification
        `top1_pct` and `loss_nats`), `score`, `num_images`, `macs`, `macs_dense`, `params`.

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
    judge = test if isinstance(test, Task) else create_task(test_sets={"test": test})
    found: dict[float, list[dict[str, Any]]] = {}
    for row in judge.evaluate(model, sorted(set(width_mults))):
        found.setdefault(row["width_mult"], []).append(row)
    return [
        {**row, "is_trained": row["width_mult"] in trained, **score}
        for row in _costs(model, width_mults)
        for score in found[row["width_mult"]]
    ]


def _thinned(width_mults: list[float], count: int, special: Sequence[float]) -> list[float]:
    """Return `count` evenly chosen widths, the ends among them, and all special ones."""
    last = len(width_mults) - 1
    chosen = {index * last // (count - 1) for index in range(count)}
    return [width for index, width in enumerate(width_mults) if index in chosen or width in special]


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
