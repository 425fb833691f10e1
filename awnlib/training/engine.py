"""Training: one engine for every method.

`train` runs one cell of a study from its `RunConfig`. Everything random follows from the seed and the iteration
number alone, so that a run that was killed continues from its last checkpoint to the same bits as an
uninterrupted one: on a CPU, on the same machine with the same number of threads. On a GPU it may differ by rounding:
cuDNN may choose other algorithms (`torch.backends.cudnn.deterministic = True` forbids it), and torch lets convolutions
round to TF32 (`torch.backends.cudnn.allow_tf32 = False` does not).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.data import DataSet, ImagePairs
from awnlib.data.splits import hold_out
from awnlib.jobs import distributed
from awnlib.jobs.hardware import warn_of_slow_bfloat16
from awnlib.jobs.progress import Progress
from awnlib.jobs.resumable import Parts, load_point, look, run_identity, run_resumable, save_point, training_tensors
from awnlib.layers.batchnorm import batchnorm_statistics
from awnlib.models import ModelSpec, SlimmableModel, create_model
from awnlib.one_pass import channel_counts, is_any_width
from awnlib.seeding import rng, seeded
from awnlib.tasks import Distillation, Draw, LossOfWidth, Width, create_task
from awnlib.training.gradients import GradientTracker
from awnlib.training.methods import Method
from awnlib.training.objectives import fixed_widths, label_share, loss_weights, sample_widths
from awnlib.training.run import RunConfig, SGDConfig, TrainConfig, WeightDecayOn
from awnlib.training.schedule import learning_rate
from awnlib.training.tracking import StatisticsTracker

TASK = "task."  # what the names of a task's own tensors begin with in a resume point


@dataclass(frozen=True)
class TrainResult:
    """What a training run leaves.

    Attributes
    ----------
    model
        The network after the last step.
    history, bn_statistics, gradients
        Rows of the tables of these names, without the columns that name the cell.
    num_steps, num_widths, train_time_s, resumed
        Optimiser steps, widths in each of them, seconds in all (earlier parts of a resumed run included), and how
        often the run was resumed.
    """

    model: SlimmableModel
    history: list[dict[str, Any]]
    bn_statistics: list[dict[str, Any]]
    gradients: list[dict[str, Any]]
    num_steps: int
    num_widths: int
    train_time_s: float
    resumed: int


def train(
    run: RunConfig,
    data: DataSet | ImagePairs | None = None,
    *,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 30.0,
) -> TrainResult:
    """Train one network, in as many processes as the run asks for.

    Parameters
    ----------
    run
        What to train and how.
    data
        The data set, of which the test set and what the run holds out are not touched; None for a task that has none.
    device
        Where to train.
    checkpoint
        A file to resume from, if it is there and belongs to the same run and data, and to save to from time to time and
        after the last step.
    checkpoint_every_s
        Seconds between two checkpoints.

    Raises
    ------
    DivergedError
        If a loss or a weight becomes infinite or not a number; the message names the iteration.
    CheckpointError
        If the file to resume from is damaged or no resume point.
    ValueError
        If run and data do not fit together (image size, tracked layer, batch size, classes without held-out images).
    SystemExit
        With status 143, between two steps and after saving to `checkpoint`, if the process received SIGTERM.
    """
    count = run.train.num_processes
    if count != distributed.num_processes():
        work = partial(train, run, data, checkpoint=checkpoint, checkpoint_every_s=checkpoint_every_s)
        return distributed.launch(work, count, torch.device(device))
    training = _Training(run, data, torch.device(device))
    if checkpoint is not None:
        training.restore(checkpoint)
    first = distributed.rank() == 0  # process 0 saves and shows what all have in common
    if first:
        warn_of_slow_bfloat16([run.train.precision], training.device.type)
    progress = Progress(training.total_steps, initial=training.step, title=run.name, shown=first)
    save = partial(training.save, checkpoint) if checkpoint is not None and first else None
    run_resumable(training.steps(progress), save, checkpoint_every_s, run.name)
    progress.close()
    return training.result()


def build_model(run: RunConfig, input_shape: tuple[int, int, int], num_classes: int) -> SlimmableModel:
    """Return the run's network with the initial weights of its seed.

    Raises
    ------
    ValueError
        If the images do not fit the network, or the method has a `width_vector` but the run no counts.
    """
    if run.method_settings.width_vector and run.counts is None:
        raise ValueError(
            f"{run.name}: a width_vector must become counts first (awnlib.training.base_counts.with_base_counts)"
        )
    spec = model_spec(run, input_shape, num_classes)
    with seeded(run.seed, "weights"):
        return create_model(**spec.model_dump())


def model_spec(run: RunConfig, input_shape: tuple[int, int, int], num_classes: int) -> ModelSpec:
    """Return what the run's network is built from."""
    method = run.method_settings
    ends = [run.widths[0], run.widths[-1]]
    return ModelSpec(
        name=run.model,
        input_shape=input_shape,
        num_classes=num_classes,
        layer=method.layer,
        norm="shared" if method.norm == "shared" else "switchable",
        switches=ends if method.norm == "recalibrated" else _trained(method, run.widths),
        affine=method.affine if method.norm == "switchable" else "shared",
        dense_base=method.dense_base,
        average_inputs=method.average_inputs,
        base_width_mult=method.base_width_mult * run.model_settings.base_width_mult * (run.individual_width or 1.0),
        min_width_mult=run.widths[-1] if run.individual_width is None else 1.0,
        divisor=method.divisor or run.model_settings.divisor,
        channels=run.counts or {},
        depth_mult=run.depth_mult,
        stem=run.model_settings.stem,
        options=run.model_settings.options,
    )


def _trained(method: Method, widths: list[float]) -> list[float]:
    """Return the fixed widths of a method, the study's where it has none or every width."""
    return widths if method.widths in ("random", "all") else fixed_widths(method, widths)


def create_optimizer(model: nn.Module, settings: SGDConfig) -> torch.optim.Optimizer:
    """Return SGD with momentum, or Adam if the settings say so, whose weight decay is on what `weight_decay_on` says.

    `weights`: not on norms and biases. `weights_not_depthwise`: nor on the weights of depthwise convolutions, as in the
    published code of US-Nets; the paper does not speak of it.
    One fused operation updates all weights. The learning rate, `param_groups[0]["lr"]`, is a tensor that all groups
    share, beside the weights, so that changing it neither waits for a GPU nor changes a captured graph.

    Raises
    ------
    ValueError
        If the network has no parameters.
    """
    spared = _spared_from_decay(model, settings.weight_decay_on)
    decayed = [parameter for parameter in model.parameters() if id(parameter) not in spared]
    others = [parameter for parameter in model.parameters() if id(parameter) in spared]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    device = next((parameter.device for parameter in model.parameters()), None)
    filled: list[dict[str, Any]] = [group for group in groups if group["params"]]
    lr = torch.tensor(settings.lr, device=device)
    if isinstance(settings, TrainConfig) and settings.optimizer == "adam":
        return torch.optim.Adam(filled, lr=lr, betas=(settings.momentum, 0.999), eps=settings.epsilon, fused=True)
    return torch.optim.SGD(filled, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov, fused=True)


def _spared_from_decay(model: nn.Module, weight_decay_on: WeightDecayOn) -> set[int]:
    """Return which parameters do not decay, by `id`."""
    if weight_decay_on == "all":
        return set()
    spared = {id(parameter) for parameter in model.parameters() if parameter.ndim < 2}
    if weight_decay_on == "weights_not_depthwise":
        convs = (module for module in model.modules() if isinstance(module, nn.Conv2d))
        spared |= {id(conv.weight) for conv in convs if conv.groups == conv.in_channels > 1}
    return spared


class _Training:
    """A training run between two steps: all that a checkpoint holds, and how to go on."""

    def __init__(self, run: RunConfig, data: DataSet | ImagePairs | None, device: torch.device) -> None:
        self.run, self.device, self.settings = run, device, run.train
        share = run.train.batch_size // run.train.num_processes
        own = slice(distributed.rank() * share, (distributed.rank() + 1) * share)  # of each batch
        self.widths = [1.0] if run.individual_width is not None else run.widths
        trained = data
        if data is not None and not isinstance(data, ImagePairs):  # those have no classes to hold out by
            trained = hold_out(data, run.train.held_out, run.seed)[0]
        self.task = create_task(run.task, run.task_settings, trained, device=device, num_workers=run.train.num_workers)
        self.model = build_model(run, *self.task.network_shape())
        self.model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = create_optimizer(self.model, self.settings)
        self.distinct = self.model.distinct_width_mults(include=self.widths)
        self.fixed = fixed_widths(run.method_settings, self.widths, self.distinct)
        self.task.begin(run, self.model, share=own, compiled=self._compiled)
        self.epoch_steps = self.task.epoch_steps
        self.total_steps = self.epoch_steps * self.settings.num_epochs
        recorded = self._about(run.track.num_points)
        self.tracker = StatisticsTracker(self.model, run.track.layer, recorded, self.widths)
        compared = self._about(run.track.gradients if len(self.widths) > 1 else 0)
        self.gradients = GradientTracker(self.model, compared, self.widths)
        settings = json.dumps(run.training_settings(), sort_keys=True)
        self.identity = run_identity(self.task.training_digest(), "train", run.model, settings, task=run.task)
        self.step = 0
        self.lr = self.settings.lr
        self.resumed = 0
        self.weights, self.counts = self._of_fixed_widths()
        self.label_share = torch.zeros((), device=device)  # beside the losses, so that the step compiles to one graph
        self.distillation = self._distillation()
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.history: list[dict[str, Any]] = []
        self._reset_meters()

    def _about(self, count: int) -> range:
        """Return about so many evenly spaced steps, the first one among them; none of zero."""
        return range(0, self.total_steps, max(self.total_steps // count, 1)) if count else range(0)

    def steps(self, progress: Progress) -> Parts:
        """Take all remaining steps, as parts of `run_resumable`."""
        while self.step < self.total_steps:
            loss = self._take_step()
            self.step += 1
            if self.step % self.epoch_steps == 0:
                self._end_epoch(self.step // self.epoch_steps)
            others = self.task.progress()
            yield self.step, look(progress, self.step, loss, self.lr, self.model.state_dict, "train.lr", **others)

    def _take_step(self) -> Tensor:
        progress = self.step / self.total_steps
        self.lr = learning_rate(self.settings, progress)
        if self.run.method_settings.label_share > 0:
            self.label_share.fill_(label_share(self.run.method_settings, progress))
        self.optimizer.param_groups[0]["lr"].fill_(self.lr)
        self.optimizer.zero_grad()
        with self._autocast(self.settings.precision == "bfloat16"):
            result = self.task.step(self.model, self._draw())
        found = {self.task.loss_metric: result.losses, **result.sums}
        if self.settings.num_processes > 1:
            found = self._average(found)
        self.optimizer.step()
        for name, meter in self.meters.items():
            meter += found[name]
        self.num_examples += result.num_examples
        return found[self.task.loss_metric].sum()

    def _draw(self) -> Draw:
        method = self.run.method_settings
        return Draw(
            step=self.step,
            width_mults=self._sample_widths(),
            distillation=self.distillation,
            weights=self.weights,
            counts=self.counts,
            updates="once" if method.widths == "all" else "each",
            observe=self._observe,
        )

    def _distillation(self) -> Distillation | None:
        method = self.run.method_settings
        share = self.label_share if method.label_share > 0 else None
        return Distillation(method.distance, share) if method.distillation else None

    def _observe(self, inputs: Tensor, loss: LossOfWidth | None = None) -> None:
        with self._autocast(False):
            self.tracker.observe(self.step, inputs)
            self.gradients.observe(self.step, inputs, loss)

    def _autocast(self, enabled: bool) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _average(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average gradients, BN statistics and meters over the processes, so that all go on with the same numbers."""
        meters = torch.stack([values.to(found[self.task.loss_metric].dtype) for values in found.values()])
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        distributed.average([*gradients, *batchnorm_statistics(self.model), meters])
        return dict(zip(found, meters, strict=True))

    def _sample_widths(self) -> list[Width]:
        generator = rng(self.run.seed, "widths", self.step)
        return sample_widths(self.run.method_settings, self.widths, generator, self.distinct, list(self.model.channels))

    def _of_fixed_widths(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the losses, and the channel counts if no width is drawn, for one pass for all widths.

        Both are made once: to make them in every step, and to copy them to the device, would cost time.
        """
        method, model = self.run.method_settings, self.model
        if not is_any_width(model):
            return None, None
        widths = self._sample_widths()
        weights = torch.tensor(loss_weights(method, self.widths, widths), device=self.device)
        return weights, None if method.draws_widths else channel_counts(model, self.fixed).to(self.device)

    def _compiled(self, forward: Any, *, fullgraph: bool = False) -> Any:
        """Return a function in the form that the settings ask for; on a GPU with CUDA graphs if shapes are static."""
        if not self.settings.compile:
            return forward
        mode = "reduce-overhead" if fullgraph and self.device.type == "cuda" else "default"
        compiled = torch.compile(forward, fullgraph=fullgraph, dynamic=False, mode=mode)
        # One graph for each width: past torch's own limit the others would not be compiled, and nothing would say so.
        limit = max(len(self.fixed), torch._dynamo.config.recompile_limit)
        return torch._dynamo.config.patch(recompile_limit=limit)(compiled)

    def _reset_meters(self) -> None:
        count, names = len(self._sample_widths()), (self.task.loss_metric, *self.task.monitored)
        self.meters = {name: torch.zeros(count, dtype=torch.float64, device=self.device) for name in names}
        self.num_examples = 0

    def _end_epoch(self, epoch: int) -> None:
        """Add the epoch's rows to the history: for each fixed width, and for all random widths together."""
        divisors = dict.fromkeys(self.meters, self.num_examples) | {self.task.loss_metric: self.epoch_steps}
        means = {name: (meter / divisors[name]).tolist() for name, meter in self.meters.items()}
        slots: list[tuple[float | None, slice]] = [(width, slice(i, i + 1)) for i, width in enumerate(self.fixed)]
        if len(means[self.task.loss_metric]) > len(self.fixed):
            slots.append((None, slice(len(self.fixed), None)))
        names = [metric.name for metric in self.task.metrics if metric.name in means]
        rows = [
            {"width_mult": width_mult, "metric": name, "score": _mean(means[name][slot])}
            for width_mult, slot in slots
            for name in names
        ]
        rows += self.task.end_epoch(self.model, self.widths)
        about = {"epoch": epoch, "step": self.step, "lr": self.lr}
        self.history += [about | row | self._individual() for row in rows]
        self._reset_meters()

    def _individual(self) -> dict[str, float]:
        """Return the width that an individual network stands for, at whose full width all is measured."""
        width = self.run.individual_width
        return {} if width is None else {"width_mult": width}

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def save(self, path: Path) -> None:
        """Write everything that the remaining steps depend on."""
        done = {"step": self.step, "resumed": self.resumed, "seconds": self._seconds()}
        tensors = training_tensors(self.model, self.optimizer) | self._own_tensors()
        tensors |= {f"{TASK}{name}": tensor for name, tensor in self.task.state().items()}
        save_point(path, self.identity, tensors, done | {"num_examples": self.num_examples, "history": self.history})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one of this very run."""
        point = load_point(path, self.identity, self.model, self.optimizer, self._own_tensors())
        if point is not None:
            metadata, others = point
            self.task.load_state({name.removeprefix(TASK): tensor for name, tensor in others.items()})
            self.step, self.resumed = metadata["step"], metadata["resumed"] + 1
            self.seconds_before = metadata["seconds"]
            self.num_examples, self.history = metadata["num_examples"], metadata["history"]

    def _own_tensors(self) -> dict[str, Tensor]:
        """Return the meters and what was tracked, which a checkpoint restores in place."""
        meters = {f"meter.{name}": meter for name, meter in self.meters.items()}
        return {**meters, "bn_statistics": self.tracker.values, "gradients": self.gradients.values}

    def result(self) -> TrainResult:
        """Return what the finished run leaves."""
        return TrainResult(
            model=self.model.eval(),
            history=self.history,
            bn_statistics=self.tracker.rows(),
            gradients=self.gradients.rows(),
            num_steps=self.step,
            num_widths=len(self.meters[self.task.loss_metric]),
            train_time_s=self._seconds(),
            resumed=self.resumed,
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
