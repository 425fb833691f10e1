"""Outputs for a large image, tile by tile: the same up to rounding, in the memory that one tile takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from torch import Tensor

from awnlib.layers import SlimmableConv2d, SlimmableNetwork

Outputs = Callable[[SlimmableNetwork, Tensor, Sequence[float]], Iterator[tuple[slice, Tensor]]]


def in_tiles(
    model: SlimmableNetwork, inputs: Tensor, rising: Sequence[float], outputs_of: Outputs, *, tile: int, scale: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the outputs of rising widths for whole images, all at once, of a network that keeps or enlarges the size.

    Each tile is computed with as many pixels around it as its outputs depend on, which are then cut off. Where it ends
    with the image, so does what is computed, so that borders are padded as in the whole image.

    Parameters
    ----------
    model
        Of convolutions of stride 1 that pad to keep the size.
    inputs
        `[N, C, H, W]`
    rising
        The widths.
    outputs_of
        What computes the outputs of a part.
    tile
        Side of a tile in pixels of the input.
    scale
        How many times as high and wide as inputs outputs are.
    """
    whole: Tensor | None = None
    reach = receptive_reach(model)
    for rows, columns in product(*(_parts(side, tile) for side in inputs.shape[-2:])):
        (top, above), (left, before) = (_around(part, reach) for part in (rows, columns))
        for some, outputs in outputs_of(model, inputs[..., top, left], rising):
            if whole is None:
                sides = [side * scale for side in inputs.shape[-2:]]
                whole = outputs.new_empty(len(rising), *outputs.shape[1:-2], *sides)
            to_y, to_x, from_y, from_x = (
                slice(part.start * scale, part.stop * scale)
                for part in (rows, columns, _moved(rows, above), _moved(columns, before))
            )
            whole[some, ..., to_y, to_x] = outputs[..., from_y, from_x]
    assert whole is not None
    yield slice(0, len(rising)), whole


def receptive_reach(model: SlimmableNetwork) -> int:
    """Return how far away, at most, pixels may be that an output depends on: the half kernels of all convolutions."""
    return sum(max(module.kernel_size) // 2 for module in model.modules() if isinstance(module, SlimmableConv2d))


def _parts(side: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, side)) for start in range(0, side, tile)]


def _around(part: slice, reach: int) -> tuple[slice, int]:
    """Return a part with what is around it, and where that begins."""
    start = max(part.start - reach, 0)
    return slice(start, part.stop + reach), start


def _moved(part: slice, start: int) -> slice:
    return slice(part.start - start, part.stop - start)
