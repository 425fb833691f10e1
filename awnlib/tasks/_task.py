"""`Task`: what networks are trained for and judged by, whatever the method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from awnlib.data import DataSet, ImagePairs
from awnlib.data.batches import EVERYTHING
from awnlib.layers import SlimmableNetwork
from awnlib.one_pass import Updates
from awnlib.settings import Settings
from awnlib.tasks._distillation import Distillation
from awnlib.tasks._metric import Metric

if TYPE_CHECKING:
    from awnlib.training.run import RunConfig

Shape = tuple[int, int, int]
"""Channels, height and width."""
LossOfWidth = Callable[[Tensor, Tensor | None], Tensor]
"""The loss of one width, a scalar, from its outputs and those of the first one, None for itself."""
Width = float | Mapping[str, float]
"""A width multiplier, or one for each of a model's `channels`: a width vector."""


def _as_it_is(forward: Any, *, fullgraph: bool = False) -> Any:
    return forward


def _ignored(inputs: Tensor, loss: LossOfWidth | None = None) -> None:
    pass


class Observe(Protocol):
    """What records a step."""

    def __call__(self, inputs: Tensor, loss: LossOfWidth | None = None) -> None:
        """Record what the network does with the inputs of a step, and with a loss what the widths learn from it."""


@dataclass(frozen=True)
class Draw:
    """What the method asks of one step.

    Attributes
    ----------
    step
        The number of the step, from 0: all that is random in it follows from the seed and this number.
    width_mults
        The widths to train, largest first where the method has the largest: multipliers, or width vectors
        (`SlimmableNetwork.set_width` takes either).
    distillation
        How all but the first width learn from the first one's output (US-Nets, Algorithm 1); None: they do not.
    weights
        Factor of each width's loss, `[len(width_mults)]`, on the device; None for 1.
    counts
        Their channel counts (`awnlib.one_pass.channel_counts`), on the device; None: not made yet.
    updates
        How often BN statistics are updated in a pass for all widths (`awnlib.tasks.classification.backward_one_pass`).
    observe
        To be called with the step's inputs, before its first pass: it records BN statistics. With the loss that each
        width learns from on these inputs, without its weight, it can compare the widths' gradients too.
    """

    step: int
    width_mults: Sequence[Width]
    distillation: Distillation | None = None
    weights: Tensor | None = None
    counts: Tensor | None = None
    updates: Updates = "each"
    observe: Observe = _ignored


@dataclass(frozen=True)
class StepResult:
    """What a step found, without gradients.

    Attributes
    ----------
    losses
        The loss of each width, `[widths]`, without its weight.
    sums
        By name of `Task.monitored`, a sum over the examples for each width, `[widths]`.
    num_examples
        How many examples the sums are over.
    """

    losses: Tensor
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    num_examples: int = 1


class Task(ABC):
    """What networks are trained for and judged by.

    A file `awnlib/tasks/<name>.py` defines a subclass and names it `build`. The engine asks for `network_shape`, calls
    `begin` once and `step` for each step, and keeps `state` in its resume points. A task without a data set makes its
    batches itself.

    Parameters
    ----------
    settings
        The task's own, of the class that its settings have (`awnlib.tasks.settings_class`).
    data
        The data set, if it has one.
    device
        Where it works.
    batch_size
        Test images in a batch.
    num_workers
        Processes that read the images of a streamed data set.

    Attributes
    ----------
    metrics
        All that is measured, in training or test; the first one is the primary one.
    loss_metric
        Which of them the losses of steps are, in the history of a training.
    monitored
        Which of them steps report besides (`StepResult.sums`).
    epoch_steps
        Steps of an epoch; set by `begin`.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    loss_metric: ClassVar[str]
    monitored: ClassVar[tuple[str, ...]] = ()
    epoch_steps: int

    def __init__(
        self,
        settings: Settings | None = None,
        data: DataSet | ImagePairs | None = None,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 250,
        num_workers: int = 0,
    ) -> None:
        self.settings = settings if settings is not None else Settings()
        self.data = data
        self.device = torch.device(device)
        self.batch_size, self.num_workers = batch_size, num_workers

    @abstractmethod
    def network_shape(self) -> tuple[Shape, int]:
        """Return what a network is built with: the shape of an input, and the number of its outputs."""

    @abstractmethod
    def begin(
        self, run: RunConfig, model: SlimmableNetwork, *, share: slice = EVERYTHING, compiled: Any = _as_it_is
    ) -> None:
        """Get ready for the first step, or for the one after `load_state`.

        Parameters
        ----------
        run
            What is trained and how: seed, batch size, augmentation.
        model
            The network that all steps will be given, with its initial weights.
        share
            This process's part of each batch.
        compiled
            `compiled(function, fullgraph=False)` returns a function in the form that the run asks for.

        Raises
        ------
        ValueError
            If run and data do not fit together.
        """

    @abstractmethod
    def step(self, model: SlimmableNetwork, draw: Draw) -> StepResult:
        """Add the gradients of one step: the sum of the losses of the drawn widths, each times its weight."""

    @abstractmethod
    def evaluate(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Measure a network in evaluation mode at some widths.

        Returns
        -------
        list of dict
            A row for each width, test set and metric, the metrics of one width and test set in the order of `metrics`:
            `width_mult`, `test_set`, `metric`, `score`, `num_images` (None where no images are judged).
        """

    def evaluate_images(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Measure single test images at some widths; nothing, unless the task's file says `JUDGES_IMAGES = True`.

        Returns
        -------
        list of dict
            A row for each width, image and metric: `width_mult`, `test_set`, `image`, `metric`, `score`, `baseline`
            (without a network) and the PNG files `picture`, `picture_before`, `picture_target`, or None.
        """
        return []

    def end_epoch(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Return what is measured where an epoch ends, besides the means over its steps; nothing by default.

        Returns
        -------
        list of dict
            Rows of `width_mult`, `metric` and `score` for the history.
        """
        return []

    def progress(self) -> dict[str, float]:
        """Return what a log is to show besides the loss."""
        return {}

    def training_digest(self) -> str:
        """Return a digest of the data that training reads; empty without a data set."""
        return "" if self.data is None else self.data.training_digest()

    def training_inputs(self, num_images: int, batch_size: int, seed: int) -> list[Tensor]:
        """Return inputs of training for BN statistics, without augmentation, drawn by a seed; none by default."""
        return []

    def state(self) -> dict[str, Tensor]:
        """Return what the remaining steps depend on, besides the step's number, the network and the optimiser."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Continue from what `state` returned; called after `begin`."""
