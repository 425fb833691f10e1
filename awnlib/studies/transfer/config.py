"""The configuration of a width-transfer study.

A study file with the key `transfer` is one. Its *axes* are the paper's experiments: widths are searched in cheap
training configurations (sources) and carried over to a costly one (the target).

References
----------
Width Transfer: On the (In)variance of Width Optimization, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from awnlib.data.config import DatasetConfig
from awnlib.models import model_names
from awnlib.results.exhibits import Exhibit, PanelConfig, exhibit_names, exhibit_row
from awnlib.results.titles import display_name
from awnlib.settings import ConfigError, Settings, parse, read_yaml
from awnlib.studies.base import BaseStudy, name_problems, selected, unknown_names
from awnlib.studies.transfer.cells import COMPARISON, UNIFORM, Axis, Configuration, Retraining, Search, Stacking, Task
from awnlib.tasks import task_metrics
from awnlib.training.methods import load_methods
from awnlib.training.run import ModelConfig, RunConfig, TrackConfig, TrainConfig
from awnlib.width_transfer.options import SupernetSettings, parse_settings
from awnlib.width_transfer.projection import Projection

Kind = Literal["width", "depth", "stacking", "resolution", "data", "compound"]
OPTIMIZERS = ("morphnet", "autoslim", "dmcp")
VARIES = {
    "width": {"width_mult"},
    "depth": {"depth_mult"},
    "stacking": {"depth_mult"},
    "resolution": {"image_size"},
    "data": {"data_share"},
    "compound": {"width_mult", "depth_mult", "image_size", "data_share"},
}
"""What the sources of an axis of each kind may have different from the target."""
TABLES = ("transfer", "widths", "similarity", "datasets")


class AxisConfig(Settings):
    """A sweep over sources for one target, which is always the first source: direct optimisation."""

    kind: Kind = Field(description="what the sources differ in, and the figure to be a panel of")
    model: str = Field(description="a model of the library, such as resnet18")
    dataset: str = Field(description="a data set of this study")
    target: Configuration = Field(default_factory=Configuration, description="what the widths are for")
    sources: list[Projection] = Field(min_length=1, description="where widths are searched, besides the target")
    optimizers: list[str] | None = Field(default=None, description="rows of `optimizers`; null: all")
    stackings: list[Stacking] = Field(
        default_factory=lambda: list[Stacking](["average_block"]),
        min_length=1,
        description="multipliers of the blocks that the target has in addition: the mean of the others, or the last's",
    )


class ComparisonConfig(Settings):
    """Direct optimisation of the same networks on several data sets: table 1 of the paper's appendix."""

    model: str = Field(description="a model of the library")
    datasets: list[str] = Field(min_length=2, description="data sets of this study")
    configurations: list[Configuration] = Field(min_length=1, description="networks to compare, a row each")
    optimizers: list[str] | None = Field(default=None, description="rows of `optimizers`; null: all")


class OptimizerConfig(Settings):
    """A width optimiser with its settings, under a name of your choice."""

    optimizer: str | None = Field(default=None, description="morphnet, autoslim or dmcp; null: the row's name")
    label: str | None = Field(default=None, description="name in figures; null: the optimiser's")
    settings: dict[str, Any] = Field(default_factory=dict, description="changes to `search` and to the defaults")


class TransferConfig(Settings):
    """What is searched, carried over and retrained."""

    stem: Literal["small", "large"] = Field(
        default="large",
        description="whether the first layers keep the resolution, as for small images; the same at every resolution",
    )
    search: dict[str, Any] = Field(default_factory=dict, description="settings of every search, whatever the optimiser")
    optimizers: dict[str, OptimizerConfig] = Field(min_length=1, description="width optimisers by name")
    train: TrainConfig = Field(default_factory=TrainConfig, description="hyper-parameters of every retraining")
    axes: dict[str, AxisConfig] = Field(default_factory=dict, description="sweeps by a name of your choice")
    comparisons: dict[str, ComparisonConfig] = Field(
        default_factory=dict, description="the same networks on several data sets, by a name of your choice"
    )
    macs_tolerance: float = Field(
        default=0.01, gt=0, lt=1, description="refuse to retrain a network whose MACs are further from the target's"
    )


class TransferStudy(BaseStudy):
    """A whole study of width transfer."""

    kind: ClassVar[str] = "transfer"

    transfer: TransferConfig = Field(description="what is searched, carried over and retrained")

    @model_validator(mode="after")
    def _fits_together(self) -> TransferStudy:
        problems = [*self._name_problems(), *self._unknown_names()]
        if not self.transfer.axes and not self.transfer.comparisons:
            problems.append(f"transfer: ask for at least one of axes ({', '.join(VARIES)}) or comparisons")
        if not problems:
            problems = [problem for axis in self.axes() for problem in self._axis_problems(axis)]
            problems += [problem for search in self.searches().values() for problem in self._search_problems(search)]
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        return self

    def _name_problems(self) -> Iterator[str]:
        config = self.transfer
        for name in [*self.datasets, *config.optimizers, *config.axes, *config.comparisons]:
            yield from name_problems(name)
        if UNIFORM in config.optimizers:
            yield f"transfer.optimizers: '{UNIFORM}' is the baseline of every axis, not an optimiser"
        yield from (
            f"transfer: '{name}' names an axis and a comparison" for name in {*config.axes} & {*config.comparisons}
        )

    def _unknown_names(self) -> Iterator[str]:
        config = self.transfer
        rows = sorted(config.optimizers)
        for name, row in config.optimizers.items():
            unknown = list(unknown_names(f"transfer.optimizers.{name}.optimizer", [row.optimizer or name], OPTIMIZERS))
            yield from unknown or self._row_problems(name)
        parts: list[tuple[str, AxisConfig | ComparisonConfig, list[str]]] = [
            *((f"transfer.axes.{name}", axis, [axis.dataset]) for name, axis in config.axes.items()),
            *((f"transfer.comparisons.{name}", part, part.datasets) for name, part in config.comparisons.items()),
        ]
        for where, part, datasets in parts:
            yield from unknown_names(f"{where}.model", [part.model], model_names())
            yield from unknown_names(f"{where}.dataset", datasets, sorted(self.datasets))
            yield from unknown_names(f"{where}.optimizers", part.optimizers or [], rows)

    def _axis_problems(self, axis: Axis) -> Iterator[str]:
        where = f"transfer.axes.{axis.name}" if axis.kind != COMPARISON else f"transfer.comparisons.{axis.name}"
        target = axis.target.configuration
        if len(set(axis.sources)) < len(axis.sources):
            yield f"{where}.sources: the same source twice, or the target itself, which is always one"
        for source in axis.sources[1:]:
            differs = {key for key, value in source.configuration if value != getattr(target, key)}
            if differs - VARIES[axis.kind]:
                yield (
                    f"{where}.sources: {source.configuration.name} differs from the target in "
                    f"{', '.join(sorted(differs))}, but an axis of kind '{axis.kind}' may only in "
                    f"{', '.join(sorted(VARIES[axis.kind]))}"
                )
            if source.configuration.depth_mult > target.depth_mult:
                yield (
                    f"{where}.sources: {source.configuration.name} is deeper than the target (depth_mult "
                    f"{target.depth_mult}): extrapolation adds blocks, it cannot leave any out"
                )
        size = self.datasets[axis.target.dataset].train_size
        if size is not None and round(target.data_share * size) < self.transfer.train.batch_size:
            yield (
                f"{where}: transfer.train.batch_size {self.transfer.train.batch_size} is more than the "
                f"{round(target.data_share * size)} training images of {axis.target.dataset}"
            )

    def _row_problems(self, row: str) -> Iterator[str]:
        """Yield what is wrong with the settings of a row of `optimizers`, whether an axis uses it or not."""
        try:
            self.row_settings(row)
        except ConfigError as error:
            where = f"transfer.optimizers.{row}, with transfer.search"
            yield from (f"{where}: {problem}" for problem in error.problems)

    def _search_problems(self, search: Search) -> Iterator[str]:
        """Yield that a data set cannot be augmented so, or has too few images, if their number is known."""
        where, dataset = f"transfer.optimizers.{search.optimizer}", self.datasets[search.task.dataset]
        settings = parse_settings(*self.search_settings(search))
        assert isinstance(settings, SupernetSettings)
        try:
            dataset.check_augment(settings.augment)
        except ValueError as error:
            yield f"{where}: {error}, for {search.task.dataset}"
        if dataset.train_size is None:
            return
        share = search.task.configuration.data_share
        left = settings.images_left(round(share * dataset.train_size))
        if left < settings.batch_size:
            besides = " and the search's held-out part" if left < round(share * dataset.train_size) else ""
            yield (
                f"{where}: batch_size {settings.batch_size} is more than the {left} images that data_share {share:g}"
                f"{besides} leaves of the {dataset.train_size} of {search.task.dataset}"
            )

    def axes(self) -> list[Axis]:
        """Return every axis, and for each data set and network of a comparison one without further sources."""
        config = self.transfer
        every = tuple(config.optimizers)
        axes = []
        for name, axis in config.axes.items():
            target = self._task(axis.model, axis.dataset, axis.target)
            sources = [self._task(axis.model, axis.dataset, axis.target.projected(source)) for source in axis.sources]
            optimizers = every if axis.optimizers is None else tuple(axis.optimizers)
            axes.append(Axis(name, axis.kind, target, (target, *sources), optimizers, tuple(axis.stackings)))
        for name, comparison in config.comparisons.items():
            optimizers = every if comparison.optimizers is None else tuple(comparison.optimizers)
            for configuration in comparison.configurations:
                for dataset in comparison.datasets:
                    target = self._task(comparison.model, dataset, configuration)
                    axes.append(Axis(name, COMPARISON, target, (target,), optimizers, ("average_block",)))
        return axes

    def _task(self, model: str, dataset: str, configuration: Configuration) -> Task:
        """Return a task whose image size is the data set's own where the configuration gives none."""
        size = configuration.image_size or self.datasets[dataset].image_size
        return Task(model, dataset, configuration.model_copy(update={"image_size": size}))

    def retrainings(self) -> dict[str, Retraining]:
        """Return every retraining by name."""
        return {cell.name: cell for axis in self.axes() for cell in axis.retrainings(self.seeds)}

    def searches(self) -> dict[str, Search]:
        """Return every search by name."""
        return {cell.search.name: cell.search for cell in self.retrainings().values() if cell.search is not None}

    def images(self) -> dict[str, DatasetConfig]:
        """Return the settings of every data set to prepare, in every resolution that is needed, by `Task.images`."""
        tasks = [task for axis in self.axes() for task in axis.sources]
        return {
            task.images: self.datasets[task.dataset].model_copy(update={"image_size": task.configuration.image_size})
            for task in tasks
        }

    @property
    def parts(self) -> list[str]:
        """Its axes and comparisons, which `only` may select."""
        return [*self.transfer.axes, *self.transfer.comparisons]

    def reduced(self, parts: set[str], datasets: set[str], models: set[str]) -> Self:
        """Return the study with those of its axes and comparisons that are among the parts, data sets and models."""

        def left(name: str, part: AxisConfig | ComparisonConfig) -> bool:
            needed = {part.dataset} if isinstance(part, AxisConfig) else {*part.datasets}
            return name in parts and needed <= datasets and part.model in models

        axes = {name: axis for name, axis in self.transfer.axes.items() if left(name, axis)}
        comparisons = {name: part for name, part in self.transfer.comparisons.items() if left(name, part)}
        transfer = self.transfer.model_copy(update={"axes": axes, "comparisons": comparisons})
        return self.model_copy(update={"transfer": transfer})

    @property
    def shown(self) -> list[str]:
        """The figures of the paper that the study's axes fill."""
        kinds = {axis.kind for axis in self.transfer.axes.values()}
        rows = {name: exhibit_row(name).options.get("kinds") for name in exhibit_names(self.kind)}
        return [name for name, wanted in rows.items() if wanted is None or kinds & set(wanted)]

    @property
    def tables(self) -> list[str]:
        """The tables that there are."""
        return [name for name in TABLES if name != "datasets" or self.transfer.comparisons]

    @property
    def collected(self) -> list[str]:
        """The tables of all searches and retrainings, for readers too."""
        return [f"{name}.{suffix}" for name in self.tables for suffix in ("parquet", "csv", "md")]

    def tabled(self) -> dict[str, Any]:
        """Return the axes and comparisons, the optimisers' names, and what networks and data sets are called."""
        titles = {name: display_name(name) for panel in self._panels() for name in (panel.model, panel.dataset)}
        return {**self.transfer.model_dump(exclude={"train", "search"}), "titles": titles}

    def exhibit(self, name: str) -> Exhibit:
        """Return a figure of the paper by its full name; which axes it shows is in its row, the rest in the tables."""
        return Exhibit(name, task_metrics("classification")[0], self._panels())

    def _panels(self) -> list[PanelConfig]:
        """Return the networks and data sets of all axes and comparisons, without repeats."""
        targets = dict.fromkeys((axis.target.model, axis.target.dataset) for axis in self.axes())
        return [PanelConfig(model=model, dataset=dataset) for model, dataset in targets]

    def label(self, row: str) -> str:
        """Return how an optimiser, or the baseline, is called in figures."""
        if row == UNIFORM:
            return "uniform"
        config = self.transfer.optimizers[row]
        return config.label or {"morphnet": "MorphNet", "autoslim": "AutoSlim", "dmcp": "DMCP"}.get(row, row)

    def row_settings(self, row: str) -> tuple[str, dict[str, Any]]:
        """Return the optimiser of a row of `optimizers` and all its settings, but for a data set's augmentation."""
        config = self.transfer.optimizers[row]
        optimizer = config.optimizer or row
        return optimizer, parse_settings(optimizer, {**self.transfer.search, **config.settings}).model_dump()

    def null_control(self, row: str) -> str | None:
        """Return the row of `optimizers` that is the null control of a row: the same but for a task weight of 0."""
        optimizer, settings = self.row_settings(row)
        wanted = optimizer, {**settings, "task_weight": 0.0}
        if "task_weight" not in settings or settings == wanted[1]:
            return None
        return next((other for other in self.transfer.optimizers if self.row_settings(other) == wanted), None)

    def is_null_control(self, row: str) -> bool:
        """Return whether a row of `optimizers` searches without seeing an image."""
        return self.row_settings(row)[1].get("task_weight") == 0

    def search_settings(self, search: Search) -> tuple[str, dict[str, Any]]:
        """Return a search's optimiser and what it is told: the data set's augmentation, `search`, the row's own."""
        row = self.transfer.optimizers[search.optimizer]
        augment = {"augment": self.datasets[search.task.dataset].augment}
        return row.optimizer or search.optimizer, {**augment, **self.transfer.search, **row.settings}

    def precisions(self) -> set[str]:
        """Return the precisions of all searches and retrainings."""
        rows = [settings for _, settings in map(self.search_settings, self.searches().values())]
        return {self.transfer.train.precision, *(row["precision"] for row in rows if "precision" in row)}

    def run_config(self, retraining: Retraining, counts: dict[str, int] | None = None) -> RunConfig:
        """Return what the training engine needs: a plain network of the given channels, at its full width.

        Without counts it is not complete, but tells what else a retraining depends on.
        """
        task = retraining.target
        return RunConfig(
            dataset=task.dataset,
            augment=self.datasets[task.dataset].augment,
            model=task.model,
            model_settings=ModelConfig(stem=self.transfer.stem),
            method="i_net",
            method_settings=load_methods()["i_net"],
            widths=[1.0],
            individual_width=1.0,
            seed=retraining.seed,
            train=self.transfer.train,
            track=TrackConfig(num_points=1),
            counts=counts,
            depth_mult=task.configuration.depth_mult,
        )


def parse_transfer_study(data: dict[str, Any], *, origin: str = "config") -> TransferStudy:
    """Validate plain data as a width-transfer study; raises ``ConfigError`` with every problem found.

    Axes and comparisons that ``only`` leaves out are gone from what is returned, and so is ``only``.
    """
    return selected(parse(TransferStudy, data, origin=origin), origin)


def load_transfer_study(path: str | Path) -> TransferStudy:
    """Read and validate the YAML file of a width-transfer study."""
    return parse_transfer_study(read_yaml(Path(path)), origin=str(path))
