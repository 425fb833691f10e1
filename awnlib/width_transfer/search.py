"""The search for a width vector: one engine for every optimiser.

`search` runs one width optimiser from its settings, which `awnlib.width_transfer.options.parse_settings` makes.
Everything random follows from the seed and the step alone, so that a search that was killed continues from its last
checkpoint to the same bits (same machine, same number of threads).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from awnlib.data import DataSet, epoch_order, training_images
from awnlib.data.splits import without_each_fold
from awnlib.jobs.hardware import warn_of_slow_bfloat16
from awnlib.jobs.progress import Progress
from awnlib.jobs.provenance import provenance
from awnlib.jobs.resumable import Parts, load_point, look, run_identity, run_resumable, save_point, training_tensors
from awnlib.models import ModelSpec
from awnlib.results.schemas import write_table
from awnlib.training.engine import create_optimizer
from awnlib.training.schedule import learning_rate
from awnlib.width_transfer.autoslim import AutoSlim
from awnlib.width_transfer.dmcp import DMCP
from awnlib.width_transfer.ledger import Ledger
from awnlib.width_transfer.morphnet import MorphNet
from awnlib.width_transfer.optimizer import Problem, SupernetOptimizer, WidthOptimizer
from awnlib.width_transfer.options import (
    AutoSlimSettings,
    DMCPSettings,
    MorphNetSettings,
    OptimizerSettings,
    UniformSettings,
    optimizer_name,
)
from awnlib.width_transfer.uniform import Uniform
from awnlib.width_transfer.vector import WidthVector


@dataclass(frozen=True)
class SearchResult:
    """What a search leaves.

    Attributes
    ----------
    vector
        The widths that were found, at the budget. Its provenance names the optimiser with its settings, the seed, the
        data, the budget, the MACs of the result before and after the budget was matched (before: one for each fold),
        those of the search, and the software and machine.
    ledger
        The MACs that the search took, all folds together.
    rows
        What it went through, as in the table `width_search`; none for a uniform multiplier.
    seconds
        Wall time, earlier parts of a resumed search included.
    """

    vector: WidthVector
    ledger: Ledger
    rows: list[dict[str, Any]]
    seconds: float

    def save(self, folder: str | Path) -> None:
        """Write `widths.json`, `ledger.json` and, if there are rows, `width_search.parquet`."""
        folder = Path(folder)
        self.ledger.save(folder / "ledger.json")
        if self.rows:
            write_table(folder / "width_search.parquet", "width_search", self.rows, provenance())
        self.vector.save(folder / "widths.json")


def search(
    data: DataSet,
    network: ModelSpec,
    settings: OptimizerSettings,
    *,
    budget: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 30.0,
) -> SearchResult:
    """Optimise the widths of a network.

    With several folds the search runs without one fold of the training images at a time, and the multipliers of all
    folds, each at the budget, are averaged and matched to the budget again. They are not chosen by accuracy on the
    fold that was left out: that of a network with shared weights ranks retrained ones poorly, a choice would throw the
    other searches away, and an average is what no single part of the images decides.

    Parameters
    ----------
    data
        Images and labels; the test set is not touched.
    network
        The un-optimised network; its layers are taken as sliced.
    settings
        Which optimiser, and how.
    budget
        MACs of one image that the result may cost; None for those of the un-optimised network.
    seed
        Decides everything random.
    device
        Where to search.
    checkpoint
        A file to resume from, if it is there and belongs to the same search, and to save to from time to time. Each
        fold has one of its own beside it.
    checkpoint_every_s
        Seconds between two checkpoints.

    Raises
    ------
    ValueError
        Before any training: if the data do not fit the network, the batch size or the folds, or the budget is out of
        the optimiser's range.
    DivergedError
        If a loss or a weight becomes infinite or not a number.
    CheckpointError
        If the file to resume from is damaged or no resume point.
    SystemExit
        With status 143, after saving to `checkpoint`, if the process received SIGTERM.
    """
    device = torch.device(device)
    problem = Problem(data, network, budget)
    parts = without_each_fold(data, settings.folds, seed)
    folds = [_create(Problem(part, network, problem.budget), settings, seed, device) for part in parts]
    searches = [_Search(fold) for fold in folds if isinstance(fold, SupernetOptimizer)]
    warn_of_slow_bfloat16([fold_search.settings.precision for fold_search in searches], device.type)
    for index, fold_search in enumerate(searches):
        several = f" fold {index + 1}/{len(searches)}" if len(searches) > 1 else ""
        path = checkpoint
        if checkpoint is not None and several:
            path = checkpoint.with_name(f"{checkpoint.stem}_fold{index}{checkpoint.suffix}")
        fold_search.run(path, checkpoint_every_s, f"{optimizer_name(settings)} {problem.network.title}{several}")
    seconds = sum(fold_search.seconds for fold_search in searches)
    return _result(problem, settings, folds, str(device), seconds)


def _create(problem: Problem, settings: OptimizerSettings, seed: int, device: torch.device) -> WidthOptimizer:
    match settings:
        case MorphNetSettings():
            return MorphNet(problem, settings, seed, device)
        case AutoSlimSettings():
            return AutoSlim(problem, settings, seed, device)
        case DMCPSettings():
            return DMCP(problem, settings, seed, device)
        case UniformSettings():
            return Uniform(problem, seed)
    raise TypeError(f"no width optimiser has settings of type {type(settings).__name__}")


class _Search:
    """A search between two steps: all that a checkpoint holds, and how to go on."""

    def __init__(self, optimizer: SupernetOptimizer) -> None:
        self.optimizer, self.settings = optimizer, optimizer.settings
        self.model = optimizer.model
        workers = self.settings.num_workers
        self.images = training_images(optimizer.train_data, self.settings.augment, optimizer.device, workers)
        self.sgd = create_optimizer(self.model, self.settings)
        self.epoch_steps = len(epoch_order(len(self.images), self.settings.batch_size, seed=optimizer.seed, epoch=0))
        self.total_steps = self.epoch_steps * self.settings.num_epochs
        self.step = 0
        self.seconds, self.started = 0.0, 0.0

    @cached_property
    def identity(self) -> list[str]:
        """Everything that the search depends on: a checkpoint with another one is of another search."""
        problem = self.optimizer.problem
        settings = json.dumps(self.settings.chosen({"num_workers"}), sort_keys=True)
        goal = f"{problem.spec.model_dump_json()}, budget {problem.budget}, seed {self.optimizer.seed}"
        return run_identity(problem.data.training_digest(), "search", problem.spec.name, settings, goal)

    def run(self, checkpoint: Path | None, checkpoint_every_s: float, title: str) -> None:
        """Take all remaining steps, and do what follows training; leave a checkpoint of the finished search."""
        if checkpoint is not None:
            self._restore(checkpoint)
        self.started = time.monotonic() - self.seconds  # had there been no interruption
        save = None if checkpoint is None else partial(self._save, checkpoint)
        run_resumable(self._parts(title), save, checkpoint_every_s, title)
        self.seconds = time.monotonic() - self.started

    def _parts(self, title: str) -> Parts:
        """Do the work, as parts of `run_resumable`."""
        progress = Progress(self.total_steps, initial=self.step, title=title)
        steps = range(self.step, self.total_steps)
        for images, labels in self.images.batches(self.settings.batch_size, seed=self.optimizer.seed, steps=steps):
            loss = self._take_step(images, labels)
            yield self.step, look(progress, self.step, loss, self._lr(), self._tensors, "lr")
        progress.close()
        yield from self._refine(title)

    def _refine(self, title: str) -> Parts:
        if not self.optimizer.refinements:
            return
        progress = Progress(self.optimizer.refinements, title=f"{title}, slimming")
        while self._refine_once():
            progress.update(self.optimizer.rows[-1]["step"])
            yield self.step, True
        progress.close()

    def _refine_once(self) -> bool:
        with self._autocast():
            return self.optimizer.refine()

    def _take_step(self, images: Tensor, labels: Tensor) -> Tensor:
        optimizer, progress = self.optimizer, self.step / self.total_steps
        self.sgd.param_groups[0]["lr"].fill_(self._lr())
        self.sgd.zero_grad()
        size = self.settings.images_at_once or len(images)
        parts = list(zip(torch.split(images, size), torch.split(labels, size), strict=True))
        with self._autocast():
            losses = [optimizer.backward(*part, self.step, progress) for part in parts]
        self._average_gradients(len(parts))
        self.sgd.step()
        with self._autocast():
            optimizer.after_step(parts, progress)
        self.step += 1
        if self.step % self.epoch_steps == 0:
            optimizer.end_epoch(self.step // self.epoch_steps)
        return torch.stack(losses).mean()

    def _average_gradients(self, num_parts: int) -> None:
        """Turn the sum of the gradients of equal parts of a batch into their mean."""
        if num_parts > 1:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= num_parts

    def _lr(self) -> float:
        return learning_rate(self.settings, self.step / self.total_steps, self.settings.lr_end)

    def _autocast(self) -> torch.autocast:
        enabled = self.settings.precision == "bfloat16"
        return torch.autocast(self.optimizer.device.type, torch.bfloat16, enabled=enabled)

    def _tensors(self) -> dict[str, Tensor]:
        return training_tensors(self.model, self.sgd) | self.optimizer.tensors()

    def _save(self, path: Path) -> None:
        """Write everything that the remaining work depends on."""
        done = {"step": self.step, "rows": self.optimizer.rows, "ledger": self.optimizer.ledger.entries}
        save_point(path, self.identity, self._tensors(), done | {"seconds": time.monotonic() - self.started})

    def _restore(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one of this very search."""
        point = load_point(path, self.identity, self.model, self.sgd, self.optimizer.tensors())
        if point is not None:
            metadata, _ = point
            self.step, self.seconds = metadata["step"], metadata["seconds"]
            self.optimizer.rows, self.optimizer.ledger = metadata["rows"], Ledger(metadata["ledger"])


def _result(
    problem: Problem, settings: OptimizerSettings, folds: list[WidthOptimizer], device: str, seconds: float
) -> SearchResult:
    """Return the mean of all folds, at the budget."""
    found = [fold.multipliers() for fold in folds]
    matched = [fold.at_budget(multipliers) for fold, multipliers in zip(folds, found, strict=True)]
    mean = {name: sum(vector[name] for vector in matched) / len(matched) for name in problem.network.counts}
    multipliers = matched[0] if len(folds) == 1 else folds[0].at_budget(mean)
    ledger = sum((fold.ledger for fold in folds), Ledger())
    origin = {
        "optimizer": optimizer_name(settings),
        "settings": settings.model_dump(),
        "seed": folds[0].seed,
        "data": {"name": problem.data.name, "source": problem.data.source, "digest": problem.data.training_digest()},
        "num_images": len(problem.data.train_labels),
        "input_shape": list(problem.data.image_shape),
        "budget_macs": problem.budget,
        "macs": problem.macs(problem.counts(multipliers)),
        "macs_before_matching": [problem.macs(problem.counts(vector)) for vector in found],
        "search_macs": ledger.total,
        "software": provenance(device=device),
    }
    rows = [{"fold": index, **row} for index, fold in enumerate(folds) for row in fold.rows]
    vector = WidthVector(network=problem.network, multipliers=multipliers, provenance=origin)
    return SearchResult(vector, ledger, rows, seconds)
