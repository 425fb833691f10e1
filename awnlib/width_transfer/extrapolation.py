r"""Extrapolation: from the widths of a projected network to those of the original, $E(w) = \alpha M_{dim}(w)$.

$M_{dim}$ gives the blocks that a deeper network has in addition a multiplier (`stack_last_block`,
`stack_average_block`); $\alpha$ makes the network cost what it shall (`match_macs`).

References
----------
Width Transfer, section 3.3 and figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from awnlib.budget import fill_budget, scale_to_budget
from awnlib.models import SlimmableModel, StageBlocks, create_structure
from awnlib.width_transfer.costs import layer_costs, total_macs
from awnlib.width_transfer.vector import Network, WidthVector

Block = list[float]
"""Multipliers of the dimensions that belong to one block alone."""


@dataclass(frozen=True)
class Match:
    """A width vector at a number of MACs.

    Attributes
    ----------
    vector
        The multipliers times `alpha`, rounded to whole channels.
    alpha
        The one factor of all multipliers.
    macs, target_macs
        MACs of one image with these counts, and what they shall be.
    """

    vector: WidthVector
    alpha: float
    macs: int
    target_macs: int

    @property
    def relative_error(self) -> float:
        """How far the MACs are from the target, relative to it; negative below."""
        return self.macs / self.target_macs - 1


def stack_last_block(multipliers: Mapping[str, float], source: StageBlocks, target: StageBlocks) -> dict[str, float]:
    """Return multipliers for a deeper network: the blocks it has in addition get those of their stage's last block.

    Parameters
    ----------
    multipliers
        By name, of the shallower network.
    source, target
        `SlimmableModel.stage_blocks` of the two.

    Returns
    -------
    dict
        Multipliers of the deeper network's dimensions by name. Those that no block owns alone keep their own.

    Raises
    ------
    ValueError
        If some stage of the target has fewer blocks, or other ones.
    """
    return _stack(multipliers, source, target, lambda stage: stage[-1])


def stack_average_block(multipliers: Mapping[str, float], source: StageBlocks, target: StageBlocks) -> dict[str, float]:
    """Return multipliers for a deeper network: the blocks it has in addition get the mean of their stage's blocks.

    The first block of a stage, whose input has another width, is left out of the mean. Of a stage of one block, for
    which the paper gives no rule, that block is repeated. Everything else as in `stack_last_block`.
    """
    return _stack(multipliers, source, target, _average_block)


def match_macs(
    multipliers: Mapping[str, float], model: SlimmableModel, target_macs: int, *, tolerance: float = 0.01
) -> Match:
    """Return multipliers times the largest factor with which the network costs no more than the target.

    Rounding leaves a rest, most where many dimensions reach their next count together: single channels that still fit
    are added where rounding took most (`awnlib.budget.fill_budget`).

    Parameters
    ----------
    multipliers
        By name, for all dimensions, relative to the model's full counts.
    model
        The un-optimised network, of sliced layers.
    target_macs
        MACs of one image.
    tolerance
        Largest relative error of the MACs.

    Raises
    ------
    ValueError
        If the MACs are further from the target, the target is too small for one channel in each dimension, or
        dimensions are missing or unknown.
    """
    if target_macs < 1 or not 0 <= tolerance < 1:
        raise ValueError(
            f"target_macs must be 1 or more and tolerance in [0, 1), found {target_macs} and {tolerance:g}"
        )
    network, layers = Network.of(model), layer_costs(model)
    network.check_names("a mapping of multipliers", multipliers)

    def macs_of(counts: Mapping[str, int]) -> int:
        return total_macs(layers, lambda channels: counts.get(channels.name, channels.full))

    scaled = scale_to_budget(multipliers, network.counts, macs_of, target_macs)
    alpha = max(scaled[name] / multiplier for name, multiplier in multipliers.items())
    counts = fill_budget(scaled, network.counts, macs_of, target_macs)
    match = Match(WidthVector.from_counts(network, counts), alpha, macs_of(counts), target_macs)
    if abs(match.relative_error) > tolerance:
        raise ValueError(
            f"the closest MACs to {target_macs:,} that one factor gives are {match.macs:,}, "
            f"{100 * match.relative_error:+.2f} %, but at most {100 * tolerance:g} % are allowed"
        )
    return match


def extrapolate(
    vector: WidthVector,
    model: SlimmableModel,
    *,
    target_macs: int | None = None,
    stacking: Literal["average_block", "last_block"] = "average_block",
    tolerance: float = 0.01,
) -> Match:
    """Return the widths of a network from those of a projected one.

    Parameters
    ----------
    vector
        What a width optimiser found for the projected network.
    model
        The original network, un-optimised, of sliced layers.
    target_macs
        What it shall cost; None for what it costs un-optimised.
    stacking
        `stack_average_block` or `stack_last_block`; without a change of depth both leave the vector as it is.
    tolerance
        As in `match_macs`.

    Raises
    ------
    ValueError
        If the vector is for another model or a deeper one, or the MACs cannot be matched.
    """
    if vector.network.name != model.spec.name:
        raise ValueError(f"a width vector of {vector.network.title} cannot be used for {Network.of(model).title}")
    stack = stack_average_block if stacking == "average_block" else stack_last_block
    multipliers = stack(vector.multipliers, _stage_blocks(vector.network), model.stage_blocks)
    if target_macs is None:
        target_macs = total_macs(layer_costs(model), lambda channels: channels.full)
    match = match_macs(multipliers, model, target_macs, tolerance=tolerance)
    how = {
        "from": vector.network.model_dump(),
        "stacking": stacking,
        "alpha": match.alpha,
        "macs": match.macs,
        "target_macs": match.target_macs,
        "relative_error": match.relative_error,
    }
    provenance = {**vector.provenance, "extrapolation": how}
    found = match.vector.model_copy(update={"provenance": provenance})
    return Match(found, match.alpha, match.macs, match.target_macs)


def _stack(
    multipliers: Mapping[str, float],
    source: StageBlocks,
    target: StageBlocks,
    repeated: Callable[[list[Block]], Block],
) -> dict[str, float]:
    """Give the blocks that the target has in addition what `repeated` makes of their stage's blocks."""
    if len(source) != len(target):
        raise ValueError(f"widths of {len(source)} stages cannot be used for {len(target)} stages")
    owned = {name for stage in source for block in stage for name in block}
    stacked = {name: multiplier for name, multiplier in multipliers.items() if name not in owned}
    for number, (known, wanted) in enumerate(zip(source, target, strict=True), start=1):
        if len(wanted) < len(known):
            raise ValueError(
                f"stage {number} has {len(known)} blocks, but {len(wanted)} in the target: extrapolation adds blocks, "
                "it cannot leave any out; search with a depth_mult of at most the target's"
            )
        blocks = [[multipliers[name] for name in block] for block in known]
        blocks += [repeated(blocks)] * (len(wanted) - len(known))
        for names, values in zip(wanted, blocks, strict=True):
            stacked |= dict(zip(names, values, strict=True))
    return stacked


def _average_block(stage: list[Block]) -> Block:
    others = stage[1:] or stage
    return [sum(values) / len(values) for values in zip(*others, strict=True)]


def _stage_blocks(network: Network) -> StageBlocks:
    return create_structure(network.name, depth_mult=network.depth_mult, layer="sliced").stage_blocks
