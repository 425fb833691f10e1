"""`Supervised`: a task whose steps and tests follow from a loss and a measure of outputs against targets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from awnlib.data import DataSet, ImagePairs, all_test_batches, chosen_training_batches, training_images
from awnlib.data.batches import EVERYTHING, epoch_order
from awnlib.layers import SlimmableNetwork
from awnlib.one_pass import (
    Updates,
    backward_at_full_width,
    channel_counts,
    is_any_width,
    outputs_of_prefixes,
    outputs_of_widths,
)
from awnlib.seeding import rng
from awnlib.tasks._distillation import Distance, Distillation
from awnlib.tasks._task import Draw, StepResult, Task, Width, _as_it_is

if TYPE_CHECKING:
    from awnlib.training.run import RunConfig

Batch = tuple[Tensor, Tensor]
"""Inputs and targets, examples first."""
M = TypeVar("M")


class Supervised(Task):
    """A task with a loss between outputs and targets.

    A subclass defines `metrics`, `loss_metric`, `network_shape`, `loss` and `measure`. Where inputs and targets are not
    the images and labels of its data set it says so in `open_training`, `training_batches`, `test_batches` and
    `training_inputs`.

    Parameters
    ----------
    settings, data, device, batch_size, num_workers
        As of `Task`.
    test_sets
        Batches to evaluate on, by the name of the test set, in place of those of the data set.
    """

    def __init__(self, *args: Any, test_sets: Mapping[str, Iterable[Batch]] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._test_sets = test_sets
        self._batches: Iterator[Batch] | None = None

    @property
    def labelled(self) -> DataSet:
        """The data set, of images with labels."""
        assert self.data is not None
        assert not isinstance(self.data, ImagePairs)
        return self.data

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of the outputs of one width, a scalar."""

    @abstractmethod
    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return by metric the value of each example at one width, `[N]`; scores are their means."""

    def distil(self, outputs: Tensor, teacher: Tensor, distance: Distance | None = None) -> Tensor:
        """Return the loss of a width that learns from the first one's outputs, which have no gradient.

        A task with other distances than its own loss names them in its file, `DISTANCES`, and computes them here.
        """
        return self.loss(outputs, teacher)

    def loss_of_width(
        self, outputs: Tensor, targets: Tensor, teacher: Tensor | None, distillation: Distillation | None
    ) -> Tensor:
        """Return the loss of one width, which learns from the first one's outputs if they are given, a scalar."""
        if distillation is None or teacher is None:
            return self.loss(outputs, targets)
        distilled = self.distil(outputs, teacher, distillation.distance)
        if distillation.label_share is None:
            return distilled
        return distillation.mixed(distilled, self.loss(outputs, targets))

    def losses_of_widths(self, outputs: Tensor, targets: Tensor, *, distillation: Distillation | None) -> Tensor:
        """Return the losses of several widths, `[n]`, from their outputs `[n, N, ...]`."""
        teachers = [None] + [outputs[0].detach()] * (len(outputs) - 1)
        losses = [
            self.loss_of_width(one, targets, teacher, distillation)
            for one, teacher in zip(outputs, teachers, strict=True)
        ]
        return torch.stack(losses)

    def measure_widths(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return `measure` for several widths, `[n, N]` each, from their outputs `[n, N, ...]`."""
        values = [self.measure(one, targets) for one in outputs]
        return {name: torch.stack([value[name] for value in values]) for name in values[0]}

    def monitor(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return by name of `monitored` sums over the examples of a step, `[n]`, from outputs `[n, N, ...]`."""
        if not self.monitored:
            return {}
        values = self.measure_widths(outputs, targets)
        return {name: values[name].sum(dim=1) for name in self.monitored}

    def training_batches(self, steps: range) -> Iterator[Batch]:
        """Yield the batches of some steps, this process's share of each."""
        run = self.run
        return self._images.batches(run.train.batch_size, seed=run.seed, steps=steps, share=self.share)

    def test_batches(self) -> Mapping[str, Iterable[Batch]]:
        """Return the batches of each test set by its name; the last batch may be small."""
        if self._test_sets is not None:
            return self._test_sets
        return {"test": all_test_batches(self.labelled, self.batch_size, self.device, self.num_workers)}

    def training_inputs(self, num_images: int, batch_size: int, seed: int) -> list[Tensor]:
        """Return normalised training images without augmentation, drawn at random by the seed."""
        drawn = torch.randperm(len(self.labelled.train_labels), generator=rng(seed, "recalibration"))[:num_images]
        batches = chosen_training_batches(self.labelled, drawn, batch_size, self.device, self.num_workers)
        return [inputs for inputs, _ in batches]

    def begin(
        self, run: RunConfig, model: SlimmableNetwork, *, share: slice = EVERYTHING, compiled: Any = _as_it_is
    ) -> None:
        """Get ready for the first step, as `Task.begin` says."""
        self.run, self.share = run, share
        self.epoch_steps = self.open_training()
        self._one_pass = is_any_width(model)
        self._forward = compiled(_losses_in_one_pass, fullgraph=True) if self._one_pass else compiled(model)

    def open_training(self) -> int:
        """Get ready for `training_batches`, and return how many there are in an epoch."""
        run = self.run
        self._images = training_images(self.labelled, run.augment, self.device, self.num_workers)
        return len(epoch_order(len(self._images), run.train.batch_size, seed=run.seed, epoch=0))

    def step(self, model: SlimmableNetwork, draw: Draw) -> StepResult:
        """Take the step's batch, and add its gradients: in one pass for all widths where that is exact."""
        inputs, targets = self._next_batch(draw.step)
        draw.observe(inputs, lambda outputs, teacher: self.loss_of_width(outputs, targets, teacher, draw.distillation))
        backward = self._backward_one_pass if self._one_pass else self._backward_each_width
        losses, sums = backward(model, inputs, targets, draw)
        return StepResult(losses, sums, len(targets))

    def evaluate(self, model: SlimmableNetwork, width_mults: Sequence[float]) -> list[dict[str, Any]]:
        """Measure a network on each test set, as `Task.evaluate` says.

        Raises
        ------
        ValueError
            If a test set has no example.
        """
        rising = sorted(set(width_mults))
        return [
            {"width_mult": width_mult, "test_set": name, "metric": metric, "score": score, "num_images": num_images}
            for name, batches in self.test_batches().items()
            for means, num_images in [self._means(model, name, batches, rising)]
            for index, width_mult in enumerate(rising)
            for metric, score in ((metric, means[metric][index]) for metric in means)
        ]

    def outputs_of_widths(
        self, model: SlimmableNetwork, inputs: Tensor, rising: Sequence[float]
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield the outputs of rising widths in evaluation mode, as `awnlib.one_pass.outputs_of_widths` does."""
        return outputs_of_widths(model, inputs, rising)

    @torch.no_grad()
    def _means(
        self, model: SlimmableNetwork, name: str, batches: Iterable[Batch], rising: list[float]
    ) -> tuple[dict[str, list[float]], int]:
        """Return the mean of each metric at each of rising widths, and the number of examples."""
        sums: dict[str, Tensor] = {}
        num_images = 0
        for inputs, targets in batches:
            num_images += len(targets)
            for some, outputs in self.outputs_of_widths(model, inputs, rising):
                for metric, values in self.measure_widths(outputs, targets).items():
                    if metric not in sums:  # they stay on the device: reading them would wait for it
                        sums[metric] = torch.zeros(len(rising), dtype=torch.float64, device=values.device)
                    sums[metric][some] += values.sum(dim=1, dtype=torch.float64)
        if num_images == 0:
            raise ValueError(f"a sweep needs at least one test image, and test set '{name}' has none")
        ordered = [metric.name for metric in self.metrics if metric.name in sums]
        return {metric: [value / num_images for value in sums[metric].tolist()] for metric in ordered}, num_images

    def _next_batch(self, step: int) -> Batch:
        last = self.epoch_steps * self.run.train.num_epochs - 1
        if self._batches is None:
            self._batches = self.training_batches(range(step, last + 1))
        batch = next(self._batches)
        if step == last:
            next(self._batches, None)  # there is none: whatever reads images ends
        return batch

    def _backward_one_pass(
        self, model: SlimmableNetwork, inputs: Tensor, targets: Tensor, draw: Draw
    ) -> tuple[Tensor, dict[str, Tensor]]:
        counts = draw.counts
        if counts is None:
            width_mults = cast("Sequence[float]", draw.width_mults)  # of any-width networks: they take no width vector
            counts = channel_counts(model, width_mults).to(self.device, non_blocking=True)
        options = {"distillation": draw.distillation, "updates": draw.updates}
        return backward_at_full_width(
            model, lambda: self._forward(self, model, inputs, targets, counts, **options), weights=draw.weights
        )

    def _backward_each_width(
        self, model: SlimmableNetwork, inputs: Tensor, targets: Tensor, draw: Draw
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses, monitored = backward_each_width(
            model,
            inputs,
            draw.width_mults,
            lambda outputs, teacher: self.loss_of_width(outputs, targets, teacher, draw.distillation),
            lambda outputs: self.monitor(outputs[None], targets),
            distillation=draw.distillation is not None,
            forward=self._forward,
        )
        return losses, {name: torch.cat([sums[name] for sums in monitored]) for name in self.monitored}


def _losses_in_one_pass(
    task: Supervised,
    model: SlimmableNetwork,
    inputs: Tensor,
    targets: Tensor,
    counts: Tensor,
    *,
    distillation: Distillation | None,
    updates: Updates,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the losses of all widths of a step and what is monitored; no method, which would keep its task alive."""
    outputs = outputs_of_prefixes(model, inputs, counts, updates)
    return task.losses_of_widths(outputs, targets, distillation=distillation), task.monitor(outputs.detach(), targets)


def backward_each_width(
    model: SlimmableNetwork,
    inputs: Tensor,
    widths: Sequence[Width],
    loss: Callable[[Tensor, Tensor | None], Tensor],
    monitor: Callable[[Tensor], M],
    *,
    distillation: bool = False,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, list[M]]:
    """Add the gradients of the unweighted sum of the losses of several widths, one pass for each.

    Parameters
    ----------
    model
        In training mode; its width is that of the last pass afterwards.
    inputs
        One batch.
    widths
        The widths of the step: width multipliers or width vectors. With distillation the first one is the teacher.
    loss
        From a width's outputs, and those of the teacher if it is to learn from them, else None.
    monitor
        What to return besides, from the outputs without gradient.
    distillation
        All but the first width learn from the first one's outputs (US-Nets, Algorithm 1).
    forward
        What to call instead of `model` (its compiled form, say).

    Returns
    -------
    losses, monitored
        `[len(widths)]`, and what `monitor` returned for each width. No gradient.
    """
    forward = model if forward is None else forward
    losses, monitored = [], []
    teacher: Tensor | None = None
    for width in widths:
        model.set_width(width)
        outputs = forward(inputs)
        loss_of_width = loss(outputs, teacher)
        if distillation and teacher is None:
            teacher = outputs.detach()
        loss_of_width.backward()  # type: ignore[no-untyped-call]
        losses.append(loss_of_width.detach())
        monitored.append(monitor(outputs.detach()))
    return torch.stack(losses), monitored
