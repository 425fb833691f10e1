"""The work of the jobs of a width-transfer study (`awnlib.studies.transfer.stages`), from files to files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from awnlib.data import DataSet, all_test_batches
from awnlib.evaluation.sweep import sweep_widths
from awnlib.jobs.records import recorded_file
from awnlib.model_cost import cost
from awnlib.models import ModelSpec, SlimmableModel, create_model, save_model
from awnlib.results.schemas import write_table
from awnlib.studies.base import HISTORY, MODEL
from awnlib.studies.shell import Workplace
from awnlib.studies.transfer.cells import Retraining, Task
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.stages import WIDTHS, SearchWidths, TrainTransferred, TransferWidths
from awnlib.training.engine import build_model, train
from awnlib.width_transfer.extrapolation import extrapolate
from awnlib.width_transfer.options import parse_settings
from awnlib.width_transfer.search import search
from awnlib.width_transfer.vector import Network, WidthVector

TEST_BATCH = 250  # images


def network_spec(study: TransferStudy, task: Task, input_shape: tuple[int, int, int], num_classes: int) -> ModelSpec:
    """Return what the un-optimised network of a task is built from: sliced, all layers following the width.

    Width Transfer, section 3.4: "The width multiplier method applies to all the layers".
    """
    plain = ModelSpec(
        name=task.model,
        input_shape=input_shape,
        num_classes=num_classes,
        layer="sliced",
        min_width_mult=1.0,
        slim_last=True,
        stem=study.transfer.stem,
    )
    return task.configuration.project_network(plain)


def search_widths(job: SearchWidths, at: Workplace) -> Mapping[str, Any]:
    """Run a width optimiser in one training configuration; leave its widths, ledger and course."""
    study, cell = job.study, job.cell
    optimizer, options = study.search_settings(cell)
    images = cell.task.configuration.choose_images(at.images(), cell.seed)
    spec = network_spec(study, cell.task, images.image_shape, images.num_classes)
    settings = parse_settings(optimizer, options)
    result = search(images, spec, settings, seed=cell.seed, device=at.device, checkpoint=at.checkpoint)
    result.save(at.folder)
    spent = {"search_macs": result.ledger.total, "search_time_s": result.seconds}
    return {**spent, "num_images": len(images.train_labels)}


def transfer_widths(job: TransferWidths, at: Workplace) -> Mapping[str, Any]:
    """Carry the widths of a search over to the target: the missing blocks, then the MACs of the un-optimised target.

    Leaves the vector. Fails with both numbers if the MACs cannot be matched within the study's tolerance.
    """
    study, cell = job.study, job.cell
    vector = WidthVector.load(recorded_file(at.needs["searched"], WIDTHS))
    target = _target(study, cell, at.images())
    stacking, tolerance = cell.stacking or "average_block", study.transfer.macs_tolerance
    match = extrapolate(vector, target, stacking=stacking, tolerance=tolerance)
    match.vector.save(at.folder / WIDTHS)
    return {"macs": match.macs, "target_macs": match.target_macs, "alpha": match.alpha}


def train_transferred(job: TrainTransferred, at: Workplace) -> Mapping[str, Any]:
    """Train the target with a transfer's widths, or with its own where it needs none, from scratch and test it.

    Leaves the widths, the model and its training history. Fails with both numbers if the network's MACs are further
    from the un-optimised target's than the study allows.
    """
    study, cell, transferred = job.study, job.cell, at.needs.get("transferred")
    everything = at.images()
    target = _target(study, cell, everything)
    vector = _uniform(target) if transferred is None else WidthVector.load(recorded_file(transferred, WIDTHS))
    vector.check_fits(target)
    run = study.run_config(cell, vector.counts)
    model = build_model(run, everything.image_shape, everything.num_classes)
    check_macs(cost(model).macs, cost(target).macs, study.transfer.macs_tolerance)
    images = cell.target.configuration.choose_images(everything, cell.seed)
    result = train(run, images, device=at.device, checkpoint=at.checkpoint)
    tested = evaluate(result.model, images, at.device, run.train.num_workers)
    vector.save(at.folder / WIDTHS)
    save_model(at.folder / MODEL, result.model, run=run.model_dump())
    names = {"dataset": run.dataset, "model": run.model, "method": cell.origin, "label": study.label(_row(cell))}
    history = [{**names, "seed": cell.seed, **row} for row in result.history]
    write_table(at.folder / HISTORY, "history", history, at.origin)
    times = {"train_time_s": result.train_time_s, "num_steps": result.num_steps, "resumed": result.resumed}
    return {**tested, **times, "target_macs": cost(target).macs}


def check_macs(found: int, target: int, tolerance: float) -> None:
    """Raise a ValueError with the numbers if MACs are further from the target than a fraction of it."""
    error = found / target - 1
    if abs(error) > tolerance:
        raise ValueError(
            f"the network has {found:,} MACs, {100 * error:+.2f} % from the target's {target:,}; at most "
            f"{100 * tolerance:g} % are allowed (transfer.macs_tolerance)"
        )


def evaluate(model: SlimmableModel, images: DataSet, device: torch.device, num_workers: int = 0) -> dict[str, Any]:
    """Return test accuracy and loss, MACs and parameters at full width."""
    batches = all_test_batches(images, TEST_BATCH, device, num_workers)
    rows = sweep_widths(model, batches, [1.0])
    scores = {row["metric"]: row["score"] for row in rows}
    about = {name: rows[0][name] for name in ("num_images", "macs", "params")}
    return {"test_top1_pct": scores["top1_pct"], "test_loss": scores["loss_nats"], **about}


def _row(cell: Retraining) -> str:
    return cell.origin if cell.search is None else cell.search.optimizer


def _target(study: TransferStudy, cell: Retraining, images: DataSet) -> SlimmableModel:
    spec = network_spec(study, cell.target, images.image_shape, images.num_classes)
    return create_model(**spec.model_dump())


def _uniform(target: SlimmableModel) -> WidthVector:
    network = Network.of(target)
    return WidthVector(network=network, multipliers=dict.fromkeys(network.counts, 1.0))
