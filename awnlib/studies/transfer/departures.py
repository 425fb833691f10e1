"""Where a width-transfer study departs from the setting of the paper, read off two configurations."""

from __future__ import annotations

from awnlib.data.config import DatasetConfig
from awnlib.results.titles import display_name
from awnlib.studies.transfer.cells import COMPARISON, Axis, configuration_title
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.widths.departures import differences, effective, without_effect

UNSEEN = {"num_workers", "images_at_once", "augment"}
"""Settings of a search that the machine asks for, or that the data set gives."""


def departures(study: TransferStudy, paper: TransferStudy) -> list[str]:
    """Return a line for each part of a study that differs from the paper's.

    Parameters
    ----------
    study
        What was run.
    paper
        The paper's own setting (``papers/width_transfer/setting.yaml``).
    """
    sets, paper_sets = (", ".join(map(_dataset, one.datasets, one.datasets.values())) for one in (study, paper))
    train, paper_train = (effective(one.transfer.train) for one in (study, paper))
    return [
        *differences(_general(study), _general(paper)),
        *([] if sets == paper_sets else [f"data sets {sets} instead of {paper_sets}"]),
        *_axes(study, paper),
        *_line("retraining", list(differences(train, paper_train))),
        *_searches(study, paper),
    ]


def _general(study: TransferStudy) -> dict[str, object]:
    """Return what is neither of a data set nor of an axis, a search or a retraining."""
    transfer = study.transfer
    return {"seeds": len(study.seeds), "stem": transfer.stem, "macs_tolerance": transfer.macs_tolerance}


def _dataset(name: str, config: DatasetConfig) -> str:
    size = [] if config.train_size is None else [f"{config.train_size:,} training images"]
    pixels = [] if config.image_size is None else [f"{config.image_size} px"]
    augment = ["not augmented" if config.augment == "none" else f"augmented by {config.augment}"]
    return f"{display_name(name)} ({', '.join([*size, *pixels, *augment])})"


def _axes(study: TransferStudy, paper: TransferStudy) -> list[str]:
    """Return a line for each kind of axis and network with other targets or another number of sources."""
    ours, theirs = _by_kind(study), _by_kind(paper)
    lines = []
    for (kind, model), axes in ours.items():
        here, there = _targets(axes), _targets(theirs.get((kind, model), []))
        if here != there:
            lines.append(f"{kind}, {display_name(model)}: {here} instead of {there}")
    left_out = [f"{kind} ({display_name(model)})" for kind, model in theirs if (kind, model) not in ours]
    return [*lines, *_line("left out", left_out)]


def _line(what: str, parts: list[str]) -> list[str]:
    """Return one line of all parts; none if there are none."""
    return [f"{what}: {', '.join(parts)}"] if parts else []


def _by_kind(study: TransferStudy) -> dict[tuple[str, str], list[Axis]]:
    found: dict[tuple[str, str], list[Axis]] = {}
    for axis in study.axes():
        found.setdefault((axis.kind, axis.target.model), []).append(axis)
    return found


def _targets(axes: list[Axis]) -> str:
    """Return the targets of axes and how many sources each has, with itself, in words."""
    if axes and axes[0].kind == COMPARISON:
        sizes = {axis.target.configuration.model_copy(update={"image_size": None}).name for axis in axes}
        return f"{len(sizes)} configuration{'s' if len(sizes) > 1 else ''}"
    words = [f"{configuration_title(axis.target.configuration.name)} ({len(axis.sources)} sources)" for axis in axes]
    return " and ".join(words) or "nothing"


def _searches(study: TransferStudy, paper: TransferStudy) -> list[str]:
    """Return what the searches have different, a line for each set of rows of `optimizers` that have it in common."""
    references = dict(map(paper.row_settings, paper.transfer.optimizers))
    rows: dict[str, list[str]] = {}
    for row in study.transfer.optimizers:
        optimizer, settings = study.row_settings(row)
        unseen = UNSEEN | without_effect(settings.get("schedule", ""))
        seen = {key: value for key, value in settings.items() if key not in unseen}
        for difference in differences(seen, references.get(optimizer, {})):
            rows.setdefault(difference, []).append(study.label(row))
    shared: dict[str, list[str]] = {}
    for difference, labels in rows.items():
        shared.setdefault(", ".join(labels), []).append(difference)
    return [line for labels, parts in shared.items() for line in _line(f"search ({labels})", parts)]
