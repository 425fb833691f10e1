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
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.data import DataSet, training_images
from awnlib.data.batches import epoch_order
from awnlib.jobs import distributed
from awnlib.jobs.hardware import warn_of_slow_bfloat16
from awnlib.jobs.progress import Progress
from awnlib.jobs.resumable import Parts, load_point, look, run_identity, run_resumable, save_point, training_tensors
from awnlib.layers.batchnorm import batchnorm_statistics
from awnlib.models import ModelSpec, SlimmableModel, create_model
from awnlib.one_pass import backward_one_pass, channel_counts, is_any_width, width_losses
from awnlib.seeding import rng, seeded
from awnlib.training.methods import Method
from awnlib.training.objectives import backward_widths, fixed_widths, loss_weights, sample_widths
from awnlib.training.run import RunConfig, SGDConfig
from awnlib.training.schedule import learning_rate
from awnlib.training.tracking import StatisticsTracker

Backward = Callable[[Tensor, Tensor, list[float]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TrainResult:
    """What a training run leaves.

    Attributes
    ----------
    model
        The network after the last step.
    history, bn_statistics
        Rows of the tables of these names, without the columns that name the cell.
    num_steps, num_widths, train_time_s, resumed
        Optimiser steps, widths in each of them, seconds in all (earlier parts of a resumed run included), and how
        often the run was resumed.
    """

    model: SlimmableModel
    history: list[dict[str, Any]]
    bn_statistics: list[dict[str, Any]]
    num_steps: int
    num_widths: int
    train_time_s: float
    resumed: int


def train(
    run: RunConfig,
    data: DataSet,
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
        The images; the test set is not touched.
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
        If run and data do not fit together (image size, tracked layer, batch size).
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
        affine="private" if method.norm == "switchable" else "shared",
        dense_base=method.dense_base,
        base_width_mult=method.base_width_mult * run.model_settings.base_width_mult * (run.individual_width or 1.0),
        min_width_mult=run.widths[-1] if run.individual_width is None else 1.0,
        divisor=run.model_settings.divisor,
        channels=run.counts or {},
        depth_mult=run.depth_mult,
        stem=run.model_settings.stem,
    )


def _trained(method: Method, widths: list[float]) -> list[float]:
    """Return the fixed widths of a method, the study's where it has none or every width."""
    return fixed_widths(method, widths) if method.widths in ("fixed", "sandwich") else widths


def create_optimizer(model: nn.Module, settings: SGDConfig) -> torch.optim.SGD:
    """Return SGD with momentum; with `weight_decay_on: weights` norms and biases do not decay.

    So it is in the published code of US-Nets, which spares depthwise convolutions too; the paper does not speak of it.
    One fused operation updates all weights. The learning rate, `param_groups[0]["lr"]`, is a tensor that all groups
    share, beside the weights, so that changing it neither waits for a GPU nor changes a captured graph.
    """
    decay_all = settings.weight_decay_on == "all"
    decayed = [parameter for parameter in model.parameters() if decay_all or parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if not (decay_all or parameter.ndim > 1)]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=torch.tensor(settings.lr, device=decayed[0].device),
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        fused=True,
    )


class _Training:
    """A training run between two steps: all that a checkpoint holds, and how to go on."""

    def __init__(self, run: RunConfig, data: DataSet, device: torch.device) -> None:
        self.run, self.device, self.settings = run, device, run.train
        share = run.train.batch_size // run.train.num_processes
        self.share = slice(distributed.rank() * share, (distributed.rank() + 1) * share)  # of each batch
        self.widths = [1.0] if run.individual_width is not None else run.widths
        self.images = training_images(data, run.augment, device, run.train.num_workers)
        self.model = build_model(run, data.image_shape, data.num_classes)
        self.model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = create_optimizer(self.model, self.settings)
        self.distinct = self.model.distinct_width_mults(include=self.widths)
        self.fixed = fixed_widths(run.method_settings, self.widths, self.distinct)
        self.epoch_steps = len(epoch_order(len(self.images), run.train.batch_size, seed=run.seed, epoch=0))
        self.total_steps = self.epoch_steps * self.settings.num_epochs
        every = max(self.total_steps // run.track.num_points, 1)
        recorded = range(0, self.total_steps, every)
        self.tracker = StatisticsTracker(self.model, run.track.layer, recorded, self.widths)
        settings = json.dumps(run.training_settings(), sort_keys=True)
        self.identity = run_identity(data.training_digest(), "train", run.model, settings)
        self.step = 0
        self.lr = self.settings.lr
        self.resumed = 0
        self.backward = self._choose_backward()
        self.seconds_before, self.started = 0.0, time.monotonic()
        self.history: list[dict[str, Any]] = []
        self._reset_meters()

    def steps(self, progress: Progress) -> Parts:
        """Take all remaining steps, as parts of `run_resumable`."""
        steps = range(self.step, self.total_steps)
        batches = self.images.batches(self.settings.batch_size, seed=self.run.seed, steps=steps, share=self.share)
        for images, labels in batches:
            loss = self._take_step(images, labels)
            self.step += 1
            if self.step % self.epoch_steps == 0:
                self._end_epoch(self.step // self.epoch_steps)
            yield self.step, look(progress, self.step, loss, self.lr, self.model.state_dict, "train.lr")

    def _take_step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.lr = learning_rate(self.settings, self.step / self.total_steps)
        self.optimizer.param_groups[0]["lr"].fill_(self.lr)
        self.tracker.observe(self.step, images)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
            losses, corrects = self.backward(images, labels, self._sample_widths())
        if self.settings.num_processes > 1:
            losses, corrects = self._average(losses, corrects)
        self.optimizer.step()
        self.losses += losses
        self.corrects += corrects
        return losses.sum()

    def _average(self, losses: Tensor, corrects: Tensor) -> tuple[Tensor, Tensor]:
        """Average gradients, BN statistics and meters over the processes, so that all go on with the same numbers."""
        meters = torch.stack([losses, corrects.to(losses.dtype)])
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        distributed.average([*gradients, *batchnorm_statistics(self.model), meters])
        return meters[0], meters[1]

    def _sample_widths(self) -> list[float]:
        generator = rng(self.run.seed, "widths", self.step)
        return sample_widths(self.run.method_settings, self.widths, generator, self.distinct)

    def _choose_backward(self) -> Backward:
        """Return how a step adds up its gradients: in one pass for all widths where that is exact."""
        method, model = self.run.method_settings, self.model
        targets: Any = {"distillation": method.distillation, "label_smoothing": self.settings.label_smoothing}
        if not is_any_width(model):
            return partial(backward_widths, model, **targets, forward=self._compiled(model))
        widths = self._sample_widths()
        return partial(
            backward_one_pass,
            model,
            **targets,
            weights=torch.tensor(loss_weights(method, self.widths, widths), device=self.device),
            counts=None if method.draws_widths else channel_counts(model, widths).to(self.device),
            updates="once" if method.widths == "all" else "each",
            forward=self._compiled(width_losses, fullgraph=True),
        )

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
        width_count = len(self._sample_widths())
        self.losses = torch.zeros(width_count, dtype=torch.float64, device=self.device)
        self.corrects = torch.zeros(width_count, dtype=torch.float64, device=self.device)

    def _end_epoch(self, epoch: int) -> None:
        """Add the epoch's rows to the history: one for each fixed width, one for all random widths together."""
        loss = (self.losses / self.epoch_steps).tolist()
        num_images = self.epoch_steps * self.settings.batch_size // self.settings.num_processes
        top1 = (100 * self.corrects / num_images).tolist()
        slots: list[tuple[float | None, slice]] = [(width, slice(i, i + 1)) for i, width in enumerate(self.fixed)]
        if len(loss) > len(self.fixed):
            slots.append((None, slice(len(self.fixed), None)))
        for width_mult, slot in slots:
            values = {"train_loss": _mean(loss[slot]), "train_top1_pct": _mean(top1[slot])}
            if width_mult is not None and self.run.individual_width is not None:
                width_mult = self.run.individual_width
            self.history.append({"epoch": epoch, "step": self.step, "lr": self.lr, "width_mult": width_mult, **values})
        self._reset_meters()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def save(self, path: Path) -> None:
        """Write everything that the remaining steps depend on."""
        counts = {"step": self.step, "resumed": self.resumed, "seconds": self._seconds()}
        tensors = training_tensors(self.model, self.optimizer) | self._own_tensors()
        save_point(path, self.identity, tensors, counts | {"history": self.history})

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one of this very run."""
        metadata = load_point(path, self.identity, self.model, self.optimizer, self._own_tensors())
        if metadata is not None:
            self.step, self.resumed = metadata["step"], metadata["resumed"] + 1
            self.seconds_before = metadata["seconds"]
            self.history = metadata["history"]

    def _own_tensors(self) -> dict[str, Tensor]:
        """Return the meters and the tracked statistics, which a checkpoint restores in place."""
        return {"losses": self.losses, "corrects": self.corrects, "bn_statistics": self.tracker.values}

    def result(self) -> TrainResult:
        """Return what the finished run leaves."""
        return TrainResult(
            model=self.model.eval(),
            history=self.history,
            bn_statistics=self.tracker.rows(),
            num_steps=self.step,
            num_widths=len(self.losses),
            train_time_s=self._seconds(),
            resumed=self.resumed,
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
