"""The run table of a study: which training runs and evaluations its tables and figures need.

A *run* is one training: (dataset, model, method, seed), and the width for individually trained networks. An
*evaluation* is one dense width sweep of a run: as trained, or with BN recalibrated at a number of widths.
Both are named by a path, ``dataset/model/method/seed0`` and ``dataset/model/method/seed0/recal10``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from awnlib.results.variants import Variant, variants
from awnlib.studies.job import find_named
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.run import ModelConfig, RunConfig


@dataclass(frozen=True)
class Evaluation:
    """One dense width sweep of a trained run."""

    run: RunConfig
    statistics: Variant = field(default_factory=Variant)

    @property
    def variant(self) -> str:
        """The name of the variant: "as_trained", or "recal10" and the like."""
        return self.statistics.name

    @property
    def name(self) -> str:
        """The evaluation's path: the run's path and the variant."""
        return f"{self.run.name}/{self.variant}"

    @property
    def label(self) -> str:
        """The name in tables and figures, as the papers write it: US-Net(10w)."""
        words = self.statistics.words
        return self.run.method_settings.label + (f"({words})" if words else "")


def statistics_columns(evaluation: Evaluation, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that say which BN statistics an evaluation uses, from what its record measured."""
    statistics = evaluation.statistics
    points = statistics.recalibrated_widths
    return {
        "variant": evaluation.variant,
        "recalibrated_widths": measured.get("recalibrated_widths") if points == "swept" else points,
        "averaging": measured.get("averaging", statistics.averaging),
        "recalibration_images": measured.get("recalibration_images", statistics.num_images),
    }


def runs(study: StudyConfig) -> list[RunConfig]:
    """Return every training run of a study."""
    return [run for cell in study.cells() for seed in study.seeds for run in _cell_runs(study, *cell, seed)]


def runs_with_residuals(study: StudyConfig) -> list[RunConfig]:
    """Return the runs of several widths whose residual errors some exhibit of a study shows."""
    cells = study.cells(made_from="residuals")
    of_cells = [run for cell in cells for seed in study.seeds for run in _cell_runs(study, *cell, seed)]
    return [run for run in of_cells if run.individual_width is None]


def runs_with_gradients(study: StudyConfig) -> list[RunConfig]:
    """Return the runs of a study that compare the gradients of their widths."""
    return [run for run in runs(study) if run.track.gradients]


def runs_with_slimming(study: StudyConfig) -> list[RunConfig]:
    """Return the runs of a study whose slimmed network is evaluated too."""
    return [run for run in runs(study) if run.method_settings.slimming]


def evaluations(run_table: Iterable[RunConfig]) -> list[Evaluation]:
    """Return every dense sweep of the given runs."""
    return [Evaluation(run, variant) for run in run_table for variant in variants(run.method_settings)]


def _cell_runs(study: StudyConfig, model: str, dataset: str, method: str, seed: int) -> Iterator[RunConfig]:
    cell = {"model": model, "dataset": dataset, "method": method}
    settings = study.resolved_methods()[method]
    widths = study.width_settings(**cell)
    for individual_width in widths if settings.individual else [None]:
        yield RunConfig(
            dataset=dataset,
            augment=study.datasets[dataset].augment if dataset in study.datasets else "none",
            model=model,
            model_settings=study.models.get(model, ModelConfig()),
            method=method,
            method_settings=settings,
            widths=widths,
            individual_width=individual_width,
            seed=seed,
            train=study.train_settings(**cell),
            track=study.track_settings(**cell),
            task=study.task,
            task_settings=study.task_settings,
        )


def find_run(study: StudyConfig, name: str) -> RunConfig:
    """Return the run of this name; raise a ValueError that names what there is if the study has none."""
    return find_named({run.name: run for run in runs(study)}, name, "run")
