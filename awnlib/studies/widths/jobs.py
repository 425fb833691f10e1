"""The work of the jobs of a study of widths (`awnlib.studies.widths.stages`), from files to files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from awnlib.channels import evenly_spaced
from awnlib.data import DataSet, all_test_batches, chosen_training_batches, load_dataset
from awnlib.evaluation.auc import auc_pct
from awnlib.evaluation.drift import bn_drift
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.jobs.records import read_record, recorded_file
from awnlib.model_cost import plain_params, stored_params
from awnlib.models import SlimmableModel, load_model, save_model
from awnlib.results.schemas import write_table
from awnlib.results.variants import recalibration_points
from awnlib.seeding import rng
from awnlib.studies.base import HISTORY, MODEL
from awnlib.studies.shell import Work, Workplace
from awnlib.studies.widths.stages import RecalibrateBN, SweepWidths, TrainModel
from awnlib.training.base_counts import with_base_counts
from awnlib.training.engine import train
from awnlib.training.objectives import fixed_widths
from awnlib.training.run import RunConfig

STATISTICS, DRIFT, SWEEP = "bn_statistics.parquet", "bn_drift.parquet", "sweep.parquet"
DRIFT_IMAGES = 512


def train_model(job: TrainModel, at: Workplace) -> Work:
    """Train one run; leave its model, training history, tracked BN statistics and BN drift."""
    run, data, on, origin, checkpoint = job.cell, at.data, at.device, at.origin, at.checkpoint

    def work(folder: Path) -> Mapping[str, Any]:
        images = load_dataset(data)
        final = with_base_counts(run, images.image_shape, images.num_classes)
        result = train(final, images, device=on, checkpoint=checkpoint)
        save_model(folder / MODEL, result.model, run=final.model_dump())
        write_table(folder / HISTORY, "history", _named(run, result.history), origin)
        write_table(folder / STATISTICS, "bn_statistics", _named(run, result.bn_statistics), origin)
        drift = [] if run.individual_width is not None else _drift(result.model, run, images, on)
        write_table(folder / DRIFT, "bn_drift", _named(run, drift), origin)
        return {
            "num_steps": result.num_steps,
            "train_time_s": result.train_time_s,
            "resumed": result.resumed,
            "num_widths": result.num_widths,
            "params_stored": stored_params(result.model),
            "params_full": plain_params(result.model),
        }

    return work


def recalibrate_model(job: RecalibrateBN, at: Workplace) -> Work:
    """Recalibrate a trained run at evenly spaced widths; leave the model with the new statistics."""
    evaluation, settings = job.cell, job.study.recalibration
    run, data, trained, on = evaluation.run, at.data, at.needs["trained"], at.device
    points = recalibration_points(evaluation.variant)
    if points is None:
        raise ValueError(f"evaluation '{evaluation.name}' needs no recalibration")

    def work(folder: Path) -> Mapping[str, Any]:
        model = _load(trained, on)
        batches = _training_batches(load_dataset(data), run, settings.num_images, settings.batch_size, on)
        widths = evenly_spaced(run.widths[-1], run.widths[0], points)
        started = time.monotonic()
        recalibrate_bn(model, batches, widths, averaging=settings.averaging)
        seconds = time.monotonic() - started
        save_model(folder / MODEL, model, run=run.model_dump())
        return {"recalibration_time_s": seconds}

    return work


def sweep_model(job: SweepWidths, at: Workplace) -> Work:
    """Sweep all widths of a trained or recalibrated run; leave the table `sweep`."""
    evaluation, settings, origin = job.cell, job.study.sweep, at.origin
    run, data, trained, on = evaluation.run, at.data, at.needs["trained"], at.device

    def work(folder: Path) -> Mapping[str, Any]:
        model = _load(trained, on)
        batches = all_test_batches(load_dataset(data), settings.batch_size, on, run.train.num_workers)
        started = time.monotonic()
        trained_widths = _trained_widths(run, model)
        rows = sweep_widths(
            model,
            batches,
            trained=trained_widths,
            most_widths=settings.most_widths,
            between_switches=settings.between_switches,
        )
        seconds = time.monotonic() - started
        if run.individual_width is not None:
            rows = [{**row, "width_mult": run.individual_width} for row in rows]
        names = {"variant": evaluation.variant, "label": evaluation.label}
        write_table(folder / SWEEP, "sweep", [{**row, **names} for row in _named(run, rows)], origin)
        recalibration = read_record(trained).measured.get("recalibration_time_s")
        return {"sweep_time_s": seconds, "recalibration_time_s": recalibration, **_summary(model, rows)}

    return work


def _trained_widths(run: RunConfig, model: SlimmableModel) -> list[float]:
    """Return the fixed widths that a run trains, largest first."""
    if run.individual_width is not None:
        return [1.0]
    return fixed_widths(run.method_settings, run.widths, model.distinct_width_mults(include=run.widths))


def _load(trained: Path, device: torch.device) -> SlimmableModel:
    """Return the model of a record, in the memory layout that convolutions run fastest in."""
    model, _ = load_model(recorded_file(trained, MODEL))
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _named(run: RunConfig, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with the columns that name the cell."""
    names = {"dataset": run.dataset, "model": run.model, "method": run.method}
    return [{**names, "label": run.method_settings.label, "seed": run.seed, **row} for row in rows]


def _summary(model: SlimmableModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    widths = [row["width_mult"] for row in rows]
    return {
        "auc_pct": auc_pct(widths, [row["test_top1_pct"] for row in rows]) if len(rows) > 1 else None,
        "min_width_mult": min(widths),
        "max_width_mult": max(widths),
        "num_widths": len(widths),
        "params_stored": stored_params(model),
        "num_switches": len(model.switch_width_mults) or 1,
    }


def _drift(model: SlimmableModel, run: RunConfig, data: DataSet, device: torch.device) -> list[dict[str, Any]]:
    return bn_drift(model, _training_batches(data, run, DRIFT_IMAGES, DRIFT_IMAGES, device), run.widths)


def _training_batches(
    data: DataSet, run: RunConfig, num_images: int, batch_size: int, device: torch.device
) -> list[Tensor]:
    """Return normalised training images without augmentation, drawn at random by the run's seed."""
    drawn = torch.randperm(len(data.train_labels), generator=rng(run.seed, "recalibration"))[:num_images]
    batches = chosen_training_batches(data, drawn, batch_size, device, run.train.num_workers)
    return [batch for batch, _ in batches]
