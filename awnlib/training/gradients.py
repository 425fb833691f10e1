"""Gradients of the widths' losses during training: how large they are, and whether they point the same way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from awnlib.layers import SlimmableNetwork
from awnlib.layers.segments import Axis, prefix_of
from awnlib.tasks import LossOfWidth

COLUMNS = ("norm", "other_norm", "cosine")


class Gradient(NamedTuple):
    """The gradient of one width's loss with respect to a parameter, of its full shape, and the block the width uses."""

    values: Tensor
    block: tuple[int, ...]


Gradients = dict[str, Gradient]
"""By name, those of the parameters that a width uses."""


class GradientTracker:
    """Compares the gradients of the widths' losses in chosen iterations, each on the batch of its step.

    A width's loss is what the task trains that width for, without the weight that a method may give it; with
    distillation narrower widths learn from the largest one. Each width has a forward and a backward pass of its own in
    training mode, on a view of the network, so that training does not depend on them, nor they on how it computes. Of
    several processes the first one compares them, on its share of the batch.

    Two widths are compared over the parameters that both use: of a weight that both read, the block of output and input
    channels that is active at both, that of the narrower one. A scale and shift that is private to a width is left out,
    and so is all that only the wider width reads; weights above a staircase have no gradient at any width.

    Parameters
    ----------
    model
        The model in training.
    steps
        Iterations to measure in.
    width_mults
        Widths to compare, the largest first.

    Attributes
    ----------
    values
        What was measured, `[steps, widths and pairs, 3]` in float64 on the model's device; nan where nothing was
        measured yet, and for what is not defined: a width alone has one norm, a gradient of zero no direction.
    """

    def __init__(self, model: SlimmableNetwork, steps: range, width_mults: Sequence[float]) -> None:
        self.model, self.steps, self.width_mults = model, steps, list(width_mults)
        self.compared = [*((width, None) for width in width_mults), *itertools.combinations(width_mults, 2)]
        shape = (len(steps), len(self.compared), len(COLUMNS))
        device = next(model.parameters()).device
        self.values = torch.full(shape, torch.nan, dtype=torch.float64, device=device)

    def observe(self, step: int, inputs: Tensor, loss: LossOfWidth | None) -> None:
        """Measure on the batch of an iteration, before its step is taken, if it is one of the chosen.

        Raises
        ------
        ValueError
            If there is no loss then: the task does not say what a width learns from.
        """
        if step not in self.steps:
            return
        if loss is None:
            raise ValueError("track.gradients: must be 0 for this task, whose steps do not say the loss of each width")
        found = dict(zip(self.width_mults, self._gradients(inputs, loss), strict=True))
        for values, (width_mult, other) in zip(self.values[self.steps.index(step)], self.compared, strict=True):
            if other is None:
                values[0] = norm(found[width_mult])
            else:
                values.copy_(torch.stack(compare(found[width_mult], found[other])))

    def _gradients(self, inputs: Tensor, loss: LossOfWidth) -> Iterator[Gradients]:
        network = self.model.view()
        teacher: Tensor | None = None
        for width_mult in self.width_mults:
            network.set_width_mult(width_mult)
            outputs = network(inputs)
            of_width = loss(outputs, teacher)
            teacher = outputs.detach() if teacher is None else teacher
            yield gradients(network, of_width)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per (iteration, width or pair of widths).

        Its keys are `step`, `width_mult`, `other_width_mult` (None: the width alone, over all parameters that it uses),
        `norm` (of the width's gradient), `other_norm` (of the other's) and `cosine` (of the angle between the two).
        """
        keys = itertools.product(self.steps, self.compared)
        return [
            {"step": step, "width_mult": width_mult, "other_width_mult": other}
            | dict(zip(COLUMNS, values, strict=True))
            for (step, (width_mult, other)), values in zip(keys, self.values.flatten(0, 1).tolist(), strict=True)
        ]


def gradients(model: SlimmableNetwork, loss: Tensor) -> Gradients:
    """Return the gradients of a loss of the outputs at the active width; those in the model stay as they are.

    A ValueError if a layer has `Segments`, as those of converted networks do: a width's block is not the first one.
    """
    parameters, blocks = dict(model.named_parameters()), _active_blocks(model)
    found = zip(parameters, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True), strict=True)
    return {name: Gradient(values, blocks[name]) for name, values in found if values is not None}


def norm(one: Gradients) -> Tensor:
    """Return the norm of a gradient over all parameters that its width uses, in float64."""
    return torch.stack([gradient.values.double().square().sum() for gradient in one.values()]).sum().sqrt()


def compare(one: Gradients, other: Gradients) -> tuple[Tensor, Tensor, Tensor]:
    """Return the norms of two widths' gradients over the parameters that both use, and the cosine of their angle.

    In float64. The cosine is nan if one of the norms is zero.
    """
    square = other_square = product = torch.zeros((), dtype=torch.float64)
    for first, second in _shared(one, other):
        square = square + first.square().sum()
        other_square = other_square + second.square().sum()
        product = product + (first * second).sum()
    own, others = square.sqrt(), other_square.sqrt()
    return own, others, product / (own * others)


def _shared(one: Gradients, other: Gradients) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield of each parameter that two widths use both gradients, in float64, of the block that both use."""
    for name in [name for name in one if name in other]:
        blocks = zip(one[name].block, other[name].block, strict=True)
        block = tuple(slice(min(sizes)) for sizes in blocks)
        yield one[name].values[block].double(), other[name].values[block].double()


def _active_blocks(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return by name how many rows, columns, ... of each parameter the active width may use: the first ones."""
    blocks = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    for prefix, layer in model.named_modules():
        rows = getattr(layer, "channels_out", getattr(layer, "channels", None))
        followed = (rows, getattr(layer, "channels_in", None))
        if any(isinstance(channels, Axis) for channels in followed):
            for name, parameter in layer.named_parameters(prefix):
                sizes = [_active_size(*pair) for pair in zip(parameter.shape, followed, strict=False)]
                blocks[name] = (*sizes, *parameter.shape[len(sizes) :])
    return blocks


def _active_size(size: int, channels: Any) -> int:
    """Return how much of a dimension is in use: all, if it does not hold all channels that it may follow."""
    if not isinstance(channels, Axis) or size % channels.full:
        return size
    return size // channels.full * prefix_of(channels).active
