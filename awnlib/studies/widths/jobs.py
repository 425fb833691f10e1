"""The work of the jobs of a study of widths (`awnlib.studies.widths.stages`), from files to files."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from awnlib.channels import evenly_spaced, snap_width_mult
from awnlib.data import load_dataset
from awnlib.data.splits import hold_out
from awnlib.evaluation.auc import summarise
from awnlib.evaluation.drift import bn_drift
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.residual import residual_errors
from awnlib.evaluation.slimming import equal_batches, slimmed_networks
from awnlib.evaluation.sweep import sweep_widths
from awnlib.evaluation.width_path import NetworkSlimming, along_path, networks_by_width, slim_network, width_path
from awnlib.jobs.records import read_record, recorded_file
from awnlib.model_cost import plain_params, stored_params
from awnlib.models import SlimmableModel, load_model, save_model
from awnlib.results.columns import IMAGES
from awnlib.results.schemas import write_table
from awnlib.studies.base import HISTORY, MODEL
from awnlib.studies.shell import Workplace
from awnlib.studies.widths.cells import Evaluation, statistics_columns
from awnlib.studies.widths.stages import MeasureResiduals, RecalibrateBN, SlimWidths, SweepWidths, TrainModel
from awnlib.tasks import Task, create_task, judges_images, task_metrics
from awnlib.training.base_counts import with_base_counts
from awnlib.training.engine import train
from awnlib.training.objectives import fixed_widths
from awnlib.training.run import RunConfig

STATISTICS, DRIFT, SWEEP = "bn_statistics.parquet", "bn_drift.parquet", "sweep.parquet"
GRADIENTS, RESIDUALS, SLIMMING = "gradients.parquet", "residuals.parquet", "slimming.parquet"
IMAGE_SCORES = f"{IMAGES}.parquet"
DRIFT_IMAGES = 512
RESIDUAL_IMAGES, RESIDUAL_BATCH, RESIDUAL_WIDTHS = 512, 128, 16
RECALIBRATION = ("recalibration_time_s", "averaging", "recalibration_images", "recalibrated_widths")
"""Measured, for the sweep to pass on."""


def train_model(job: TrainModel, at: Workplace) -> Mapping[str, Any]:
    """Train one run; leave its model, training history, tracked BN statistics and BN drift, gradients if compared."""
    run, origin = job.cell, at.origin
    task = run_task(run, at.data, at.device)
    final = with_base_counts(run, *task.network_shape())
    result = train(final, task.data, device=at.device, checkpoint=at.checkpoint)
    save_model(at.folder / MODEL, result.model, run=final.model_dump())
    write_table(at.folder / HISTORY, "history", _named(run, result.history), origin)
    write_table(at.folder / STATISTICS, "bn_statistics", _named(run, result.bn_statistics), origin)
    if run.track.gradients:
        write_table(at.folder / GRADIENTS, "gradients", _named(run, result.gradients), origin)
    drift = [] if run.individual_width is not None else _drift(result.model, run, task)
    write_table(at.folder / DRIFT, "bn_drift", _named(run, drift), origin)
    return {
        "num_steps": result.num_steps,
        "train_time_s": result.train_time_s,
        "resumed": result.resumed,
        "num_widths": result.num_widths,
        "params_stored": stored_params(result.model),
        "params_full": plain_params(result.model),
    }


def slim_model(job: SlimWidths, at: Workplace) -> Mapping[str, Any]:
    """Slim a trained run, judged by the images that it held out; leave the network along its path, and the path."""
    run, settings, trained = job.cell, job.study.slimming, at.needs["trained"]
    model, images = _load(trained, at.device), at.images()
    _, held_out = hold_out(images, run.train.held_out, run.seed)
    chosen, most = held_out[: settings.num_images], settings.batch_size
    batches = equal_batches(images, chosen, most, at.device, run.train.num_workers)
    slimming = NetworkSlimming(model, batches, settings.bins)
    weights = read_record(trained).files[MODEL]
    identity = [json.dumps(job.settings), weights, images.training_digest(), job.code, torch.__version__]
    rows = slim_network(slimming, checkpoint=at.checkpoint, identity=identity, title=run.name)
    used = networks_by_width(model, rows)
    save_model(at.folder / MODEL, along_path(model, width_path(used)), run=run.model_dump())
    vectors = _vector_rows(slimming, rows, {network.step: width_mult for width_mult, network in used})
    write_table(at.folder / SLIMMING, "slimming", _named(run, vectors), at.origin)
    return {"held_out_images": len(chosen)}


def recalibrate_model(job: RecalibrateBN, at: Workplace) -> Mapping[str, Any]:
    """Recalibrate a trained run at evenly spaced widths; leave the model with the new statistics."""
    evaluation, settings = job.cell, job.study.recalibration
    run, variant = evaluation.run, evaluation.statistics
    model = _load(at.needs["trained"], at.device)
    averaging, num_images = variant.averaging or settings.averaging, variant.num_images or settings.num_images
    batches = run_task(run, at.data, at.device).training_inputs(num_images, settings.batch_size, run.seed)
    points = variant.recalibrated_widths or 0
    widths = job.swept or [] if points == "swept" else evenly_spaced(run.widths[-1], run.widths[0], points)
    started = time.monotonic()
    if any(model.norms()):  # else there is nothing to compute
        recalibrate_bn(model, batches, widths, averaging=averaging)
    seconds = time.monotonic() - started
    save_model(at.folder / MODEL, model, run=run.model_dump())
    used = sum(len(inputs) for inputs in batches)
    measured = {"recalibration_time_s": seconds, "averaging": averaging, "recalibration_images": used}
    return {**measured, "recalibrated_widths": len(widths)}


def sweep_model(job: SweepWidths, at: Workplace) -> Mapping[str, Any]:
    """Sweep all widths of a trained or recalibrated run; leave the table `sweep`."""
    evaluation, settings, trained = job.cell, job.study.sweep, at.needs["trained"]
    run = evaluation.run
    model = _load(trained, at.device)
    task = run_task(run, at.data, at.device, batch_size=settings.batch_size)
    started = time.monotonic()
    rows = sweep_widths(
        model,
        task,
        settings.widths_from(run.widths[-1]) if run.individual_width is None else None,
        trained=_trained_widths(run, model),
        most_widths=settings.most_widths,
        between_switches=settings.between_switches,
    )
    seconds = time.monotonic() - started
    rows = _at_its_width(run, rows)
    recalibration = {name: read_record(trained).measured.get(name) for name in RECALIBRATION}
    names = {**statistics_columns(evaluation, recalibration), "label": evaluation.label}
    write_table(at.folder / SWEEP, "sweep", [{**row, **names} for row in _named(run, rows)], at.origin)
    if judges_images(run.task):
        fixed = run.widths if run.individual_width is None else [1.0]
        _write_images(at, evaluation, task.evaluate_images(model, fixed))
    summaries = _summaries(run.task, rows)
    return {"sweep_time_s": seconds, **recalibration, **_size(model, rows), "summaries": summaries}


def measure_residuals(job: MeasureResiduals, at: Workplace) -> Mapping[str, Any]:
    """Measure the residual errors of a trained run at evenly spaced widths and its own; leave the table `residuals`."""
    run = job.cell
    model = _load(at.needs["trained"], at.device)
    inputs = run_task(run, at.data, at.device).training_inputs(RESIDUAL_IMAGES, RESIDUAL_BATCH, run.seed)
    between = evenly_spaced(run.widths[-1], run.widths[0], RESIDUAL_WIDTHS)
    widths = {*run.widths, *(snap_width_mult(width_mult, run.widths) for width_mult in between)}
    started = time.monotonic()
    rows = residual_errors(model, inputs, sorted(widths))
    write_table(at.folder / RESIDUALS, "residuals", _named(run, rows), at.origin)
    return {"measuring_time_s": time.monotonic() - started}


def _vector_rows(
    slimming: NetworkSlimming, rows: list[dict[str, Any]], width_mults: Mapping[int, float]
) -> list[dict[str, Any]]:
    """Return the width vectors of a slimming, a row for each dimension, with the width from which each is used."""
    return [
        {
            "step": network.step,
            "width_mult": width_mults.get(network.step),
            "macs": int(network.macs),
            "error_pct": network.error_pct,
            "position": position,
            "channels": name,
            "multiplier": multiplier,
            "count": network.counts[name],
        }
        for network in slimmed_networks(rows)
        for position, (name, multiplier) in enumerate(slimming.vector(network.counts).items())
    ]


def _write_images(at: Workplace, evaluation: Evaluation, rows: list[dict[str, Any]]) -> None:
    """Leave the table `images` of an evaluation."""
    run, names = evaluation.run, {"variant": evaluation.variant, "label": evaluation.label}
    rows = _named(run, _at_its_width(run, rows))
    write_table(at.folder / IMAGE_SCORES, IMAGES, [{**row, **names} for row in rows], at.origin)


def _at_its_width(run: RunConfig, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was measured of a network, an individual one's under the width that it stands for."""
    if run.individual_width is None:
        return rows
    return [{**row, "width_mult": run.individual_width} for row in rows]


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


def _size(model: SlimmableModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    widths = {row["width_mult"] for row in rows}
    return {
        "min_width_mult": min(widths),
        "max_width_mult": max(widths),
        "num_widths": len(widths),
        "params_stored": stored_params(model),
        "num_switches": len(model.switch_width_mults) or 1,
    }


def _summaries(task: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the one number of each test set and metric that has one over the widths."""
    return [
        {"test_set": test_set, "metric": metric.name, "score": summarise(metric, widths, scores)}
        for test_set in dict.fromkeys(row["test_set"] for row in rows)
        for metric in task_metrics(task)
        if metric.summary is not None
        for points in [[row for row in rows if (row["test_set"], row["metric"]) == (test_set, metric.name)]]
        for widths, scores in [([row["width_mult"] for row in points], [row["score"] for row in points])]
        if points
    ]


def run_task(run: RunConfig, data: Path | None, device: torch.device, **options: Any) -> Task:
    """Return the task of a run, with its prepared data set if it has one."""
    images = None if data is None else load_dataset(data)
    return create_task(run.task, run.task_settings, images, device=device, num_workers=run.train.num_workers, **options)


def _drift(model: SlimmableModel, run: RunConfig, task: Task) -> list[dict[str, Any]]:
    inputs = task.training_inputs(DRIFT_IMAGES, DRIFT_IMAGES, run.seed)
    return bn_drift(model, inputs, run.widths) if any(model.norms()) else []
