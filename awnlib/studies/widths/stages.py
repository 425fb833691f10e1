"""The jobs of a study of widths: train, slim, recalibrate and sweep a run, measure what an exhibit asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from awnlib.results.variants import AS_TRAINED
from awnlib.studies.job import AnyJob, Job, JobTable, job_table
from awnlib.studies.widths.cells import Evaluation, evaluations, runs, runs_with_residuals, runs_with_slimming
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.run import RunConfig


class _OfRun(Job[StudyConfig, RunConfig]):
    """What is done for a run as a whole, with its training images."""

    parts = ("training",)

    @property
    def images(self) -> str:
        """The run's data set; empty if its task has none."""
        return self.cell.dataset if self.study.datasets else ""

    @property
    def about(self) -> dict[str, Any]:
        """The run."""
        return {"run": self.cell.model_dump()}

    @property
    def num_readers(self) -> int:
        """As the run says."""
        return self.cell.train.num_workers


class TrainModel(_OfRun):
    """Train one run."""

    stage, folder, doing = "train_model", "runs", "training"
    function = "studies.widths.jobs.train_model"
    minutes, memory = 720, 3000

    @property
    def settings(self) -> dict[str, Any]:
        """What is trained."""
        return self.cell.training_settings()

    @property
    def extensions(self) -> tuple[str, ...]:
        """The model and the task."""
        return (f"models.{self.cell.model}", f"tasks.{self.cell.task}")

    @property
    def num_processes(self) -> int:
        """Those that share each batch."""
        return self.cell.train.num_processes


class _OfTrained(_OfRun):
    """What is done to a trained run as a whole."""

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The training."""
        return {"trained": TrainModel(self.study, self.cell)}


class MeasureResiduals(_OfTrained):
    """Measure the residual errors of a trained run's features."""

    stage, folder, doing = "measure_residuals", "residuals", "measuring residual errors of"
    function = "studies.widths.jobs.measure_residuals"
    minutes, memory = 60, 3000

    @property
    def settings(self) -> dict[str, Any]:
        """There are none besides the run's."""
        return {}

    @property
    def extensions(self) -> tuple[str, ...]:
        """The task."""
        return (f"tasks.{self.cell.task}",)


class SlimWidths(_OfTrained):
    """Slim a trained run, judged by training images that it held out."""

    stage, folder, doing = "slim_widths", "slimmed", "slimming"
    function = "studies.widths.jobs.slim_model"
    minutes, memory = 720, 3000

    @property
    def settings(self) -> dict[str, Any]:
        """How networks are slimmed."""
        return self.study.slimming.chosen()


class _Evaluate(Job[StudyConfig, Evaluation]):
    """What is done to a trained run, in one process."""

    minutes, memory = 60, 3000

    @property
    def images(self) -> str:
        """The run's data set; empty if its task has none."""
        return self.cell.run.dataset if self.study.datasets else ""

    @property
    def extensions(self) -> tuple[str, ...]:
        """The task."""
        return (f"tasks.{self.cell.run.task}",)

    @property
    def about(self) -> dict[str, Any]:
        """The evaluation."""
        return {"run": self.cell.run.model_dump(), "variant": self.cell.variant, "label": self.cell.label}

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The training."""
        return {"trained": TrainModel(self.study, self.cell.run)}

    @property
    def num_readers(self) -> int:
        """As the run says."""
        return self.cell.run.train.num_workers


@dataclass(frozen=True)
class RecalibrateBN(_Evaluate):
    """Recalibrate a trained run; a ValueError if the evaluation needs no recalibration."""

    stage, folder, doing = "recalibrate_bn", "recalibrated", "recalibrating"
    function = "studies.widths.jobs.recalibrate_model"
    parts = ("training",)

    def __post_init__(self) -> None:
        if self.cell.statistics.recalibrated_widths is None:
            raise ValueError(f"evaluation '{self.cell.name}' needs no recalibration")

    @property
    def settings(self) -> dict[str, Any]:
        """How statistics are computed, and the widths of the sweep if they are computed for these."""
        return self.study.recalibration.chosen() | ({} if self.swept is None else {"width_mults": self.swept})

    @property
    def swept(self) -> list[float] | None:
        """The widths of the sweep, if statistics are computed for these."""
        if self.cell.statistics.recalibrated_widths != "swept":
            return None
        return self.study.sweep.widths_from(self.cell.run.widths[-1])

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The slimming, where its network is evaluated, or the training."""
        slimmed = self.cell.statistics.slimmed
        return {"trained": SlimWidths(self.study, self.cell.run)} if slimmed else super().needs


class SweepWidths(_Evaluate):
    """Sweep all widths of a trained or recalibrated run."""

    stage, folder, doing = "sweep_widths", "sweeps", "sweeping"
    function = "studies.widths.jobs.sweep_model"
    parts = ("test",)

    @property
    def settings(self) -> dict[str, Any]:
        """Which widths; not how many images at a time."""
        return self.study.sweep.chosen({"batch_size"})

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The recalibration, where the method asks for one, or the training."""
        return super().needs if self.cell.variant == AS_TRAINED else {"trained": RecalibrateBN(self.study, self.cell)}


def jobs(study: StudyConfig) -> JobTable:
    """Return every job of a study, by its stage and name."""
    run_table = runs(study)
    sweeps = evaluations(run_table)
    recalibrated = [one for one in sweeps if one.variant != AS_TRAINED]
    return job_table(
        study,
        {
            TrainModel: run_table,
            SlimWidths: runs_with_slimming(study),
            RecalibrateBN: recalibrated,
            SweepWidths: sweeps,
            MeasureResiduals: runs_with_residuals(study),
        },
    )
