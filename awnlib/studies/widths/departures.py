"""Where a study departs from the setting of the paper, read off two configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from awnlib.results.blocks import row_title
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.methods import FOR_READERS
from awnlib.training.run import ModelConfig, TrainConfig

Cell = tuple[str, str, str]  # model, data set, method
COUNTED = {"num_epochs": "epoch", "seeds": "seed"}


def departures(study: StudyConfig, paper: StudyConfig) -> list[str]:
    """Return a line for each setting that differs from the paper's, with the cells that it concerns.

    Parameters
    ----------
    study
        What was run. A cell is compared with the paper's cell of the same model and method on its `paper_dataset`.
    paper
        A paper's own setting (`awnlib.results.exhibits.paper_settings`).
    """
    found: dict[str, dict[str, list[str]]] = {}
    for (model, dataset, method), other in _counterparts(study, paper):
        title = row_title(model, dataset, other[1] if other else dataset)
        if other:
            lines = list(differences(_settings(study, (model, dataset, method)), _settings(paper, other)))
        else:
            lines = ["not in the paper"]
        for line in lines:
            found.setdefault(line, {}).setdefault(title, []).append(study.resolved_methods()[method].label)
    cells = {
        line: "; ".join(f"{title} ({', '.join(labels)})" for title, labels in panels.items())
        for line, panels in found.items()
    }
    seeds = list(differences({"seeds": len(study.seeds)}, {"seeds": len(paper.seeds)}))
    return [*seeds, *(f"{line}: {where}" for line, where in cells.items())]


def _counterparts(study: StudyConfig, paper: StudyConfig) -> list[tuple[Cell, Cell | None]]:
    """Return the study's cells, each with the paper's cells that exhibits compare it with, or with None."""
    in_paper = set(paper.cells())
    shown = [
        ((panel.model, panel.dataset, method), (panel.model, panel.paper_dataset or panel.dataset, method))
        for exhibit in study.exhibits.values()
        for panel in exhibit.panels
        for method in exhibit.methods
    ]
    pairs: list[tuple[Cell, Cell | None]] = [(cell, other) for cell, other in shown if other in in_paper]
    alone = [(cell, None) for cell in study.cells() if cell not in dict(pairs)]
    return list(dict.fromkeys([*pairs, *alone]))


def _settings(study: StudyConfig, cell: Cell) -> dict[str, Any]:
    """Return what decides the result of a cell, by key; settings without an effect are left out."""
    model, dataset, name = cell
    keys = {"model": model, "dataset": dataset, "method": name}
    train = effective(study.train_settings(**keys))
    method = study.resolved_methods()[name]
    images = study.datasets.get(dataset)  # a task may make its own batches
    parts = {
        "dataset": images.model_dump(exclude={"path", "download", "stream", "test_paths"}) if images else {},
        "task": study.task_settings.model_dump(),
        "model": study.models.get(model, ModelConfig()).model_dump(),
        "method": method.model_dump(exclude=FOR_READERS),
        "sweep": study.sweep.model_dump(include={"between_switches"}) if method.norm != "shared" else {},
        "recalibration": study.recalibration.model_dump() if method.recalibration else {},
    }
    nested = {f"{part}.{key}": value for part, settings in parts.items() for key, value in settings.items()}
    return {**train, "widths": study.width_settings(**keys), **nested}


def differences(ours: Mapping[str, Any], paper: Mapping[str, Any]) -> Iterator[str]:
    """Yield a phrase for each key with another value than the paper's: "`lr` 0.1 instead of 0.01"."""
    for key, value in ours.items():
        if key in paper and value != paper[key]:
            plural = "" if value == 1 else "s"
            what = f"{value} {COUNTED[key]}{plural}" if key in COUNTED else f"`{key}` {_shown(value)}"
            yield f"{what} instead of {_shown(paper[key])}"


def effective(train: TrainConfig) -> dict[str, Any]:
    """Return the hyper-parameters that have an effect on the result."""
    return train.model_dump(exclude={"num_workers", *without_effect(train.schedule)})


def without_effect(schedule: str) -> set[str]:
    """Return the hyper-parameters of other schedules."""
    return set() if schedule == "multistep" else {"milestones", "gamma"}


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
