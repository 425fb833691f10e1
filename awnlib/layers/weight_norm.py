r"""Weight normalisation of layers of selectable width: of the full weight, of which a width then uses its part.

$$ w_s = g_s \, v_s / \lVert v_s \rVert $$

for each output channel $s$ (Salimans and Kingma, Weight Normalization, 2016). It is torch's own parametrisation, which
knows no widths: a sliced layer takes its part of rows that were normalised over all inputs ("no further modification",
US-Nets, section 5.3); a row of a triangular layer has the same inputs at every width, so its norm is the same.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from awnlib.layers.triangle import Staircase

L = TypeVar("L", bound=nn.Conv2d)


def weight_norm(layer: L) -> L:
    """Give each output channel of a convolution a scale of its own, and return the layer.

    Its weights above a staircase stay exactly zero: their gradient is, whatever the optimiser.
    """
    parametrizations.weight_norm(layer)
    return layer


@torch.no_grad()
def draw_normalised(layer: nn.Conv2d, norm: float) -> None:
    """Draw the directions of a normalised layer as torch draws a convolution's weights; give all rows one norm.

    The bias begins at zero.
    """
    scale, direction = _scale_and_direction(layer)
    nn.init.kaiming_uniform_(direction, a=math.sqrt(5))
    if isinstance(layer, Staircase):
        direction.mul_(layer.mask)
    scale.fill_(norm)
    if layer.bias is not None:
        layer.bias.zero_()


def _scale_and_direction(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the parameters in place of the weight: `[out, 1, 1, 1]` and `[out, in, k, k]`."""
    parameters = layer.get_submodule("parametrizations.weight")
    return parameters.get_parameter("original0"), parameters.get_parameter("original1")
