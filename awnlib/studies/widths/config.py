"""The configuration of a study, checked before any job starts.

``load_study`` and ``parse_study`` return a frozen ``StudyConfig``; every field says what it means. Hyper-parameters
come from ``train`` and are changed for single cells by ``overrides``: data, not code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from awnlib.channels import ROUNDING, check_apart
from awnlib.data.config import DatasetConfig
from awnlib.models import model_names
from awnlib.results.columns import COLLECTED, IMAGES
from awnlib.results.exhibits import (
    Exhibit,
    ExhibitConfig,
    companion_of,
    exhibit_names,
    full_names,
    needs_of,
    with_companions,
    without_tables,
)
from awnlib.results.paper_values import paper_values
from awnlib.settings import ConfigError, Settings, parse, read_yaml
from awnlib.studies.base import BaseStudy, name_problems, selected, unknown_names
from awnlib.studies.widths.evaluated import RecalibrationConfig, SlimmingConfig, SweepConfig
from awnlib.tasks import TaskName, TaskSettings, check_distance, judges_images, needs_data, needs_pairs, task_metrics
from awnlib.training.methods import Method, load_methods
from awnlib.training.run import ModelConfig, TrackConfig, TrainConfig


def _check_widths(widths: list[float]) -> list[float]:
    if len(widths) < 1 or sorted(set(widths), reverse=True) != widths:
        raise ValueError(f"widths must fall strictly from 1.0, found {widths}")
    check_apart(widths)
    if widths[0] != 1.0 or widths[-1] <= 0:
        raise ValueError(f"widths must start at 1.0 and stay above 0, found {widths}")
    return widths


class OverrideConfig(Settings):
    """Settings for the cells that match; of two matching overrides the later one wins."""

    model: str | None = Field(default=None, description="only cells of this model; null: any")
    dataset: str | None = Field(default=None, description="only cells of this data set; null: any")
    method: str | None = Field(default=None, description="only cells of this method; null: any")
    widths: list[float] | None = Field(default=None, description="fixed widths of these cells")
    train: dict[str, Any] = Field(default_factory=dict, description="keys of `train` with their values here")
    track: dict[str, Any] = Field(default_factory=dict, description="keys of `track` with their values here")

    @field_validator("widths")
    @classmethod
    def _falling_widths(cls, value: list[float] | None) -> list[float] | None:
        return value if value is None else _check_widths(value)

    def matches(self, *, model: str, dataset: str, method: str) -> bool:
        """Whether the override speaks of this cell; a key that is not given matches everything."""
        return self.model in (None, model) and self.dataset in (None, dataset) and self.method in (None, method)


class StudyConfig(BaseStudy):
    """A whole study: every table and figure, and through them every training run."""

    datasets: dict[str, DatasetConfig] = Field(
        default_factory=dict, description="data sets by a name of your choice; none for a task that makes its own"
    )
    models: dict[str, ModelConfig] = Field(default_factory=dict, description="options of models, by model")
    widths: list[float] = Field(
        default_factory=lambda: [1.0, 0.75, 0.5, 0.25],
        description="fixed widths; the last is the smallest allowed",
    )
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict, description="changed and added methods")
    task: TaskName = Field(
        default="classification", description="what networks are trained for and judged by: a file of awnlib/tasks"
    )
    task_settings: TaskSettings = Field(default_factory=Settings, description="the task's own settings")
    train: TrainConfig = Field(default_factory=TrainConfig, description="hyper-parameters of every cell")
    overrides: list[OverrideConfig] = Field(default_factory=list, description="changes for some cells")
    recalibration: RecalibrationConfig = Field(
        default_factory=RecalibrationConfig, description="BN statistics after training"
    )
    slimming: SlimmingConfig = Field(default_factory=SlimmingConfig, description="slimming of trained networks")
    sweep: SweepConfig = Field(default_factory=SweepConfig, description="dense width sweeps")
    track: TrackConfig = Field(default_factory=TrackConfig, description="what is measured during training")
    exhibits: dict[str, ExhibitConfig] = Field(
        min_length=1, description="tables and figures of papers, such as any_width_networks.table2"
    )

    _widths = field_validator("widths")(_check_widths)

    kind: ClassVar[str] = "widths"

    @model_validator(mode="before")
    @classmethod
    def _exhibits_have_one_key(cls, data: Any) -> Any:
        """Tables and figures stood below two keys, without the paper's name."""
        known = exhibit_names(cls.kind)
        old = [(key, name) for key in ("tables", "figures") for name in data.get(key) or ()]
        if old:
            names = [" or ".join(full_names(name, known)) or "a full name" for _, name in old]
            lines = zip(old, names, strict=True)
            raise ConfigError([f"{key}.{name}: write it below `exhibits`, as {full}" for (key, name), full in lines])
        return data

    @field_validator("exhibits")
    @classmethod
    def _full_names(cls, value: dict[str, ExhibitConfig]) -> dict[str, ExhibitConfig]:
        """A short name would become ambiguous as soon as another paper is added."""
        known = exhibit_names(cls.kind)
        meant = {name: full_names(name, known) for name in value}
        short = {name: full for name, full in meant.items() if full and name not in full}
        problems = [f"exhibits.{name}: write {' or '.join(full)}" for name, full in short.items()]
        problems += unknown_names("exhibits", [name for name, full in meant.items() if not full], known)
        if problems:
            raise ConfigError(problems)
        return value

    @property
    def parts(self) -> list[str]:
        """The tables and figures that it asks for, which `only` may select."""
        return list(self.exhibits)

    def reduced(self, parts: set[str], datasets: set[str], models: set[str]) -> Self:
        """Return the study with the panels of these data sets and models, of these tables and figures."""
        left = {}
        for name, exhibit in self.exhibits.items():
            panels = [panel for panel in exhibit.panels if panel.dataset in datasets and panel.model in models]
            if name in parts and panels:
                left[name] = exhibit.model_copy(update={"panels": panels})
        return self.model_copy(update={"exhibits": left})

    @property
    def shown(self) -> list[str]:
        """The full names of all tables and figures, those that are made beside others among them."""
        return with_companions(list(self.exhibits))

    @property
    def collected(self) -> list[str]:
        """The tables of all runs and evaluations, and those of what is measured on demand."""
        return [f"{name}.parquet" for name in [*COLLECTED, *self.on_demand]]

    @property
    def on_demand(self) -> list[str]:
        """The tables of what is measured only where an exhibit is made from it, or settings or task ask for it."""
        cells = [{"model": model, "dataset": dataset, "method": method} for model, dataset, method in self.cells()]
        methods = self.resolved_methods()
        asked = {
            IMAGES: judges_images(self.task),
            "gradients": any(self.track_settings(**cell).gradients for cell in cells),
            "residuals": bool(self.cells(made_from="residuals")),
        }
        asked["slimming"] = any(methods[cell["method"]].slimming for cell in cells)
        return [name for name, is_asked in asked.items() if is_asked]

    def tabled(self) -> dict[str, Any]:
        """Return what the methods that are trained are called in tables and figures."""
        trained = {method for _, _, method in self.cells()}
        return {name: method.label for name, method in self.resolved_methods().items() if name in trained}

    def precisions(self) -> set[str]:
        """Return the precisions of all runs."""
        cells = [{"model": model, "dataset": dataset, "method": method} for model, dataset, method in self.cells()]
        return {self.train_settings(**cell).precision for cell in cells}

    def exhibit(self, name: str) -> Exhibit:
        """Return a table or figure, by its full name, with what its renderer needs of the study."""
        asked = self.exhibits[name if name in self.exhibits else companion_of(name) or name]
        return Exhibit(
            name, task_metrics(self.task)[0], asked.panels, asked.methods, self.resolved_methods(), asked.variants
        )

    @property
    def asks_of_networks(self) -> bool:
        """Whether only a network can tell if it fits: names of its dimensions or layers, its options, its images."""
        methods = self.resolved_methods()
        return any(
            methods[method].width_vector
            or (model in self.models and self.models[model].options)
            or (dataset in self.datasets and self.datasets[dataset].image_size)
            or self.track_settings(model=model, dataset=dataset, method=method).layer is not None
            for model, dataset, method in self.cells()
        )

    @model_validator(mode="after")
    def _fits_together(self) -> StudyConfig:
        if needs_data(self.task) != bool(self.datasets):
            have = "a data set" if needs_data(self.task) else "no data sets, it makes its own"
            raise ValueError(f"datasets: the task '{self.task}' needs {have}")
        if any((data.scale is not None) != needs_pairs(self.task) for data in self.datasets.values()):
            only = "source 'photographs'" if needs_pairs(self.task) else "images with labels, not 'photographs'"
            raise ValueError(f"datasets: the task '{self.task}' needs {only}")
        methods = self.resolved_methods()
        problems = [problem for name in [*methods, *self.datasets] for problem in name_problems(name)]
        problems += self._unknown_names(methods)
        problems += [problem for index in range(len(self.overrides)) for problem in self._override_problems(index)]
        if not problems:
            problems = [problem for cell in self.cells() for problem in self._cell_problems(methods, *cell)]
            problems += without_tables(self.shown, self.collected)
            problems += self._tracking_problems()
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        return self

    def _unknown_names(self, methods: Mapping[str, Method]) -> list[str]:
        """Return a line for each name that nothing has."""
        named: list[tuple[str, Iterable[str], Iterable[str]]] = [("models", self.models, model_names())]
        for name, exhibit in self.exhibits.items():
            named.append((f"exhibits.{name}.methods", exhibit.methods, methods))
            values = paper_values(name.partition(".")[0])
            for index, panel in enumerate(exhibit.panels):
                where = f"exhibits.{name}.panels.{index}"
                named.append((f"{where}.model", [panel.model], model_names()))
                if self.datasets:  # a task without data sets gives any name to what it makes itself
                    named.append((f"{where}.dataset", [panel.dataset], self.datasets))
                tests = self.datasets[panel.dataset].test_paths if panel.dataset in self.datasets else {}
                if tests:
                    named.append((f"{where}.test_set", [panel.test_set], tests))
                if panel.paper_dataset is not None:
                    named.append((f"{where}.paper_dataset", [panel.paper_dataset], values.datasets()))
        for index, override in enumerate(self.overrides):
            for key, known in (("method", [*methods]), ("dataset", [*self.datasets]), ("model", model_names())):
                value = getattr(override, key)
                named.append((f"overrides.{index}.{key}", [] if value is None else [value], known))
        return [problem for where, names, known in named for problem in unknown_names(where, names, sorted(known))]

    def _override_problems(self, index: int) -> list[str]:
        """Return what is wrong with the settings of one override on its own."""
        override, problems = self.overrides[index], []
        for key, base, changes in (("train", self.train, override.train), ("track", self.track, override.track)):
            try:
                parse(type(base), {**base.model_dump(), **changes}, prefix=f"overrides.{index}.{key}")
            except ConfigError as error:
                problems += error.problems
        return problems

    def _cell_problems(self, methods: Mapping[str, Method], model: str, dataset: str, name: str) -> list[str]:
        """Return what is wrong with one cell once its overrides are applied."""
        cell = {"model": model, "dataset": dataset, "method": name}
        try:
            train = self.train_settings(**cell)
        except ConfigError as error:
            return error.problems
        problems = []
        labelled = dataset in self.datasets and self.datasets[dataset].scale is None
        train_size = self.datasets[dataset].train_size if labelled else None
        held_out = 0 if train_size is None else round(train.held_out * train_size)
        if train_size is not None and train_size - held_out < train.batch_size:
            without = f", without the {held_out} held out" if held_out else ""
            problems.append(
                f"train.batch_size, with overrides: must be at most datasets.{dataset}.train_size ({train_size})"
                f"{without}, found {train.batch_size}"
            )
        if train.held_out and not labelled:
            images = "no labels to hold images out by" if self.datasets else "no training images"
            problems.append(f"train.held_out: the task '{self.task}' has {images}, found {train.held_out}")
        method, widths = methods[name], self.width_settings(**cell)
        if train.compile and method.draws_widths and not method.is_any_width:
            problems.append(
                f"train.compile: {name} draws its widths, and each would be compiled anew, for {model} on {dataset} "
                "(allowed: any-width methods, and others of fixed widths)"
            )
        if method.slimming and self.task != "classification":
            problems.append(f"methods.{name}.slimming: it counts errors of classification, found task '{self.task}'")
        elif method.slimming and not train.held_out:
            problems.append(
                f"train.held_out, with overrides: slimming of {name} needs images that are not trained with, found "
                f"{train.held_out} for {model} on {dataset}"
            )
        try:
            check_distance(self.task, method.distance)
        except ValueError as error:
            problems.append(f"methods.{name}.distance: {error}")
        if self.sweep.widths_from(widths[-1]) == [] and not method.individual:
            problems.append(
                f"sweep.width_mults: the networks of {name} have none of them, from {widths[-1]} to 1, for {model} on "
                f"{dataset}"
            )
        if any(one.widths == "swept" for one in method.recalibrations) and not self._sweeps_all(widths):
            problems.append(
                f"methods.{name}.recalibration: swept needs sweep.width_mults with the smallest and the largest width, "
                f"{widths[-1]} and 1, for {model} on {dataset}"
            )
        if len(widths) == 1 and (method.widths != "fixed" or method.recalibration):
            problems.append(f"widths: {name} needs a range of widths, found {widths} for {model} on {dataset}")
        return problems

    def _sweeps_all(self, widths: Sequence[float]) -> bool:
        """Whether the sweep names its widths, and among them the smallest and the largest of a network."""
        swept = self.sweep.widths_from(widths[-1]) or []
        return all(any(abs(width - one) <= ROUNDING for one in swept) for width in (widths[0], widths[-1]))

    def _tracking_problems(self) -> list[str]:
        """Return a line for each cell of an exhibit that nothing would be measured for."""
        return [
            f"track.gradients, with overrides: must be above 0 for {method}, {model} on {dataset}: an exhibit shows it"
            for model, dataset, method in self.cells(made_from="gradients")
            if not self.track_settings(model=model, dataset=dataset, method=method).gradients
        ]

    def cells(self, *, made_from: str | None = None) -> list[tuple[str, str, str]]:
        """Return the (model, data set, method) triples that the tables and figures show, without repeats.

        With `made_from` only those of exhibits that are made from this table of the study.
        """
        shown = [
            (panel.model, panel.dataset, method)
            for name, exhibit in self.exhibits.items()
            if made_from is None or made_from in self._needs(name)
            for panel in exhibit.panels
            for method in exhibit.methods
        ]
        return list(dict.fromkeys(shown))

    def _needs(self, exhibit: str) -> set[str]:
        """Return the tables of the study that an exhibit and those beside it are made from."""
        return {table for name in with_companions([exhibit]) for table in needs_of(name)}

    @property
    def shown_datasets(self) -> list[str]:
        """The names of all data sets; of a task without any, the names that tables and figures give what it makes."""
        return list(self.datasets) or list(dict.fromkeys(dataset for _, dataset, _ in self.cells()))

    def resolved_methods(self) -> dict[str, Method]:
        """Return every method that the study may name."""
        rows = load_methods(self.methods)
        return {name: self.recalibration.taken_for_granted(name, row) for name, row in rows.items()}

    def train_settings(self, *, model: str, dataset: str, method: str) -> TrainConfig:
        """Return the hyper-parameters of one cell, overrides applied in order."""
        settings = self.train.model_dump()
        for override in self._matching(model=model, dataset=dataset, method=method):
            settings.update(override.train)
        return parse(TrainConfig, settings, prefix=f"train, with overrides for {model}/{dataset}/{method},")

    def track_settings(self, *, model: str, dataset: str, method: str) -> TrackConfig:
        """Return what is measured during the trainings of one cell, overrides applied in order."""
        settings = self.track.model_dump()
        for override in self._matching(model=model, dataset=dataset, method=method):
            settings.update(override.track)
        return parse(TrackConfig, settings)

    def width_settings(self, *, model: str, dataset: str, method: str) -> list[float]:
        """Return the fixed widths of one cell, largest first; the last one is the smallest width allowed."""
        widths = self.widths
        for override in self._matching(model=model, dataset=dataset, method=method):
            widths = override.widths or widths
        return self.resolved_methods()[method].own_widths(widths)

    def _matching(self, **cell: str) -> Iterable[OverrideConfig]:
        return (override for override in self.overrides if override.matches(**cell))


def parse_study(data: dict[str, Any], *, origin: str = "config") -> StudyConfig:
    """Validate plain data as a study; raises ``ConfigError`` with every problem found.

    Exhibits and panels that ``only`` leaves out are gone from what is returned, and so is ``only``.
    """
    return selected(parse(StudyConfig, data, origin=origin), origin)


def load_study(path: str | Path) -> StudyConfig:
    """Read and validate the YAML file of a study."""
    path = Path(path)
    return parse_study(read_yaml(path), origin=str(path))


__all__ = ["ConfigError", "StudyConfig", "load_study", "parse_study"]
