"""The jobs of a width-transfer study: search widths, carry them over, retrain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from awnlib.studies.job import AnyJob, Job, JobTable, job_table
from awnlib.studies.transfer.cells import Retraining, Search
from awnlib.studies.transfer.config import TransferStudy
from awnlib.width_transfer.options import parse_settings

WIDTHS = "widths.json"
"""The file with a width vector, of every job."""


class SearchWidths(Job[TransferStudy, Search]):
    """Run a width optimiser in one training configuration."""

    stage, folder, doing = "search_widths", "searches", "searching"
    function = "studies.transfer.jobs.search_widths"
    parts = ("training",)
    minutes, memory = 1440, 4000

    @property
    def images(self) -> str:
        """The data set in the resolution of the search."""
        return self.cell.task.images

    @property
    def settings(self) -> dict[str, Any]:
        """The optimiser's, in a fixed order; not who reads images."""
        optimizer, options = self.study.search_settings(self.cell)
        chosen = parse_settings(optimizer, options).chosen({"num_workers"})
        return {
            "optimizer": optimizer,
            "stem": self.study.transfer.stem,
            **{key: chosen[key] for key in sorted(chosen)},
        }

    @property
    def about(self) -> dict[str, Any]:
        """The search, and what its optimiser is told."""
        optimizer, options = self.study.search_settings(self.cell)
        return {"search": self.name, "optimizer": optimizer, "settings": options}

    @property
    def extensions(self) -> tuple[str, ...]:
        """The model."""
        return (f"models.{self.cell.task.model}",)

    @property
    def num_readers(self) -> int:
        """As the settings of the search say."""
        _, options = self.study.search_settings(self.cell)
        readers: int = options.get("num_workers", 0)
        return readers


class _ForTarget(Job[TransferStudy, Retraining]):
    """What is done to a target."""

    @property
    def images(self) -> str:
        """The data set in the target's resolution."""
        return self.cell.target.images

    @property
    def extensions(self) -> tuple[str, ...]:
        """The model."""
        return (f"models.{self.cell.target.model}",)


class TransferWidths(_ForTarget):
    """Carry the widths of a search over to the target."""

    stage, folder, doing = "transfer_widths", "transferred", "transferring"
    function = "studies.transfer.jobs.transfer_widths"
    parts = ("shape",)
    minutes, memory = 60, 4000
    device = "cpu"

    @property
    def settings(self) -> dict[str, Any]:
        """What the target is, and how close to it is close enough."""
        return {"tolerance": self.study.transfer.macs_tolerance, "stem": self.study.transfer.stem}

    @property
    def about(self) -> dict[str, Any]:
        """The cell's name."""
        return {"transfer": self.name}

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The search, which uniform widths do not have."""
        return {} if self.cell.search is None else {"searched": SearchWidths(self.study, self.cell.search)}


class TrainTransferred(_ForTarget):
    """Train the target with a transfer's widths, or with its own, and test it."""

    stage, folder, doing = "train_transferred", "retrained", "training"
    function = "studies.transfer.jobs.train_transferred"
    parts = ("training", "test")
    minutes, memory = 1440, 4000

    @property
    def extensions(self) -> tuple[str, ...]:
        """The model and the task."""
        return (*super().extensions, "tasks.classification")

    @property
    def settings(self) -> dict[str, Any]:
        """What is trained, but for the widths, and how close to the target's MACs they must be."""
        return {**self._run_settings(), "tolerance": self.study.transfer.macs_tolerance}

    @property
    def about(self) -> dict[str, Any]:
        """The cell's name, and what is trained."""
        return {"retraining": self.name, "run": self._run_settings()}

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The transfer, which uniform widths do not need."""
        return {} if self.cell.search is None else {"transferred": TransferWidths(self.study, self.cell)}

    @property
    def num_processes(self) -> int:
        """Those that share each batch."""
        return self.study.transfer.train.num_processes

    @property
    def num_readers(self) -> int:
        """As the study says."""
        return self.study.transfer.train.num_workers

    def _run_settings(self) -> dict[str, Any]:
        return self.study.run_config(self.cell).training_settings()


def search_record(results: Path, search: Search) -> Path:
    """Return where a search's record is, below the results of its study."""
    return results / SearchWidths.record_of(search.name)


def retraining_record(results: Path, cell: Retraining) -> Path:
    """Return where a retraining's record is, below the results of its study."""
    return results / TrainTransferred.record_of(cell.name)


def jobs(study: TransferStudy) -> JobTable:
    """Return every job of a study, by its stage and name."""
    cells = study.retrainings().values()
    carried = [cell for cell in cells if cell.search is not None]
    return job_table(study, {SearchWidths: study.searches().values(), TransferWidths: carried, TrainTransferred: cells})
