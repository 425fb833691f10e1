"""Tables and figures of papers: rows of ``papers/<paper>/exhibits.yaml``, and what a study shows in them.

An exhibit is named `<paper>.<row>`, such as `any_width_networks.table1`. Its row names a renderer: a file of
`awnlib/results/renderers/`, or of the paper's own folder, with

- `NEEDS`: the tables of a study that it reads;
- `Options`: the class of its row's `options`;
- a figure's `draw(exhibit, tables) -> Figure`, or a table's `make(exhibit, tables) -> DataFrame` (with the columns of
  the table `exhibit`) and `layout(exhibit, frame) -> list[Block]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from awnlib.lazy import read_literal
from awnlib.results.paper_values import PaperValues, paper_values
from awnlib.results.titles import ONLY, display_name
from awnlib.results.variants import AS_TRAINED
from awnlib.settings import ConfigError, Settings, parse, read_yaml
from awnlib.tasks import Metric
from awnlib.training.methods import Method, without_color

if TYPE_CHECKING:
    import pandas as pd

PAPERS = Path(__file__).parents[1] / "papers"
RENDERERS = Path(__file__).with_name("renderers")
O = TypeVar("O", bound=Settings)  # noqa: E741


class PanelConfig(Settings):
    """One model on one data set, compared with the paper's numbers for `paper_dataset`."""

    model: str = Field(description="a model of the library, such as lenet_3c1l")
    dataset: str = Field(description="a data set of this study")
    paper_dataset: str | None = Field(
        default=None, description="a data set of the paper, such as fashion_mnist; null: the data set's own name"
    )
    test_set: str = Field(default="test", description="which test images, where a data set has several sets of them")


class ExhibitConfig(Settings):
    """What a study shows in a table or a figure: which methods on which panels."""

    panels: list[PanelConfig] = Field(min_length=1, description="models and data sets, a row or a subplot each")
    methods: list[str] = Field(min_length=1, description="methods by name")
    variants: list[str] = Field(
        default_factory=list,
        description="of methods whose BN statistics are computed after training, only these (recal10, "
        "recal10-moving-512, ...); empty: all",
    )


class ExhibitRow(Settings):
    """A table or a figure of a paper."""

    title: str = Field(description="title for readers")
    caption: str = Field(default="", description="what it shows")
    renderer: str = Field(description="what makes it, by file name")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the renderer")
    beside: str | None = Field(
        default=None, description="made for the same panels whenever this other row is asked for"
    )


class Paper(Settings):
    """A paper, as its `exhibits.yaml` says."""

    title: str = Field(description="title, authors and year")
    studies: Literal["widths", "transfer"] = Field(description="the kind of studies that repeat it")
    main: str | None = Field(default=None, description="the figure that opens a report")
    exhibits: dict[str, ExhibitRow] = Field(description="tables and figures by a short name")

    @model_validator(mode="after")
    def _names_rows_that_exist(self) -> Self:
        named = {"main": self.main, **{f"exhibits.{name}.beside": row.beside for name, row in self.exhibits.items()}}
        allowed = ", ".join(self.exhibits)
        lost = {where: name for where, name in named.items() if name is not None and name not in self.exhibits}
        if lost:
            lines = [f"{where}: no exhibit is called '{name}' (allowed: {allowed})" for where, name in lost.items()]
            raise ConfigError(lines)
        return self


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure of a study, with all that its renderer needs besides the study's tables.

    Attributes
    ----------
    name
        Its full name, `<paper>.<row>`.
    metric
        What the study's networks are judged by.
    panels, methods
        What it shows; no methods where the study's kind knows them.
    settings
        The study's methods by name.
    variants
        Which variants of those it shows, of methods that are recalibrated; empty: all.
    """

    name: str
    metric: Metric
    panels: list[PanelConfig] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    settings: Mapping[str, Method] = field(default_factory=dict)
    variants: list[str] = field(default_factory=list)

    @property
    def row(self) -> ExhibitRow:
        """The paper's row."""
        return exhibit_row(self.name)

    @property
    def paper(self) -> PaperValues:
        """The paper's numbers."""
        return paper_values(self.name.partition(".")[0])

    @property
    def short_name(self) -> str:
        """The name within the paper: table1."""
        return self.name.partition(".")[2]

    def rows_of(self, frame: pd.DataFrame, panel: PanelConfig) -> pd.DataFrame:
        """Return a panel's rows of a table of the study: of its test set, metric and variants."""
        wanted = {"dataset": panel.dataset, "model": panel.model, "test_set": panel.test_set}
        for column, value in {**wanted, "metric": self.metric.name}.items():
            if column in frame.columns:
                frame = frame[frame[column] == value]
        if self.variants and "variant" in frame.columns:
            frame = frame[frame["variant"].isin([AS_TRAINED, *self.variants])]
        return frame

    def shown(self) -> dict[str, Any]:
        """Return all that it shows besides the study's tables, as plain data: with a change here it is made again."""
        return {
            "row": self.row.model_dump(),
            "panels": [panel.model_dump() for panel in self.panels],
            "titles": self._titles(),
            "metric": asdict(self.metric),
            "methods": self.methods,
            "variants": self.variants,
            "looks": {} if is_table(self.name) else self._looks(),
            "paper": self.paper.of_exhibit(self.short_name),
        }

    def _titles(self) -> dict[str, str]:
        """Return what the models and data sets of its panels are called."""
        names = [name for one in self.panels for name in (one.model, one.dataset, one.paper_dataset or one.dataset)]
        names += [one.test_set for one in self.panels if one.test_set != ONLY]
        return {name: display_name(name) for name in names}

    def _looks(self) -> dict[str, Any]:
        """Return how its methods are drawn; with one that has no colour, also who shares out those that are left."""
        own = {name: self.settings[name].look.model_dump() for name in self.methods}
        sharing = without_color(self.settings)
        return {"own": own, "sharing": sharing if own.keys() & set(sharing) else []}

    def options(self, kind: type[O]) -> O:
        """Return the options of the row as its renderer's class of them."""
        return parse(kind, self.row.options, origin=f"exhibit {self.name}")


@cache
def load_paper(name: str) -> Paper:
    """Return what a paper's folder says of it.

    Raises
    ------
    ConfigError
        If there is no such paper, or its file cannot be used.
    """
    path = PAPERS / name / "exhibits.yaml"
    return parse(Paper, read_yaml(path), origin=str(path))


def paper_settings(name: str) -> list[Path]:
    """Return the files of a paper's own studies, one for each task: `setting.yaml`, `setting_<task>.yaml`."""
    return sorted((PAPERS / name).glob("setting*.yaml"))


def paper_names() -> list[str]:
    """Return the names of all papers: the folders that have an `exhibits.yaml`."""
    return sorted(path.parent.name for path in PAPERS.glob("*/exhibits.yaml"))


def exhibit_names(studies: str) -> list[str]:
    """Return the full names of all exhibits of one kind of studies, in the order of their papers' rows."""
    papers = {name: load_paper(name) for name in paper_names()}
    return [f"{name}.{row}" for name, paper in papers.items() if paper.studies == studies for row in paper.exhibits]


def exhibit_row(name: str) -> ExhibitRow:
    """Return the row of an exhibit by its full name."""
    paper, _, row = name.partition(".")
    return load_paper(paper).exhibits[row]


def with_companions(names: list[str]) -> list[str]:
    """Return full names, each followed by those exhibits that are made beside it; none twice."""
    found = []
    for name in names:
        paper = name.partition(".")[0]
        others = [f"{paper}.{row}" for row in load_paper(paper).exhibits]
        found += [name, *(other for other in others if companion_of(other) == name)]
    return list(dict.fromkeys(found))


def companion_of(name: str) -> str | None:
    """Return the full name of the exhibit that another one is made beside, if it is."""
    beside = exhibit_row(name).beside
    return f"{name.partition('.')[0]}.{beside}" if beside else None


def full_names(short: str, known: list[str]) -> list[str]:
    """Return the names among `known` that a full or short name may mean."""
    return [name for name in known if short in (name, name.partition(".")[2])]


def renderer_path(name: str) -> str:
    """Return the module, below `awnlib`, of what makes an exhibit.

    Raises
    ------
    ConfigError
        If there is none.
    """
    paper, _, row = name.partition(".")
    file = f"{exhibit_row(name).renderer}.py"
    for folder in (RENDERERS, PAPERS / paper):
        if (folder / file).is_file():
            return ".".join((folder / file).with_suffix("").relative_to(PAPERS.parent).parts)
    problem = f"exhibits.{row}.renderer: neither {RENDERERS} nor the paper's folder has a {file}"
    raise ConfigError([problem], str(PAPERS / paper / "exhibits.yaml"))


def renderer_of(name: str) -> ModuleType:
    """Return the module that makes an exhibit.

    Raises
    ------
    ConfigError
        If there is none, or the exhibit's row has options that it lacks.
    """
    renderer = import_module(f"awnlib.{renderer_path(name)}")
    parse(
        renderer.Options, exhibit_row(name).options, origin=f"exhibit {name}"
    )  # before it draws, and if it never asks
    return renderer


def needs_of(name: str) -> list[str]:
    """Return the names of the study's tables that an exhibit is made from; its renderer is not imported."""
    return list(read_literal(_renderer_file(name), "NEEDS"))


def without_tables(names: list[str], files: list[str]) -> list[str]:
    """Return a line for each exhibit that is made from a table that a study does not leave."""
    there = {Path(file).stem for file in files}
    lost = {name: ", ".join(table for table in needs_of(name) if table not in there) for name in names}
    return [
        f"exhibits.{name}: it needs the table {tables}, which this task does not leave"
        for name, tables in lost.items()
        if tables
    ]


def is_table(name: str) -> bool:
    """Whether an exhibit is a table rather than a figure; its renderer is not imported."""
    return "\ndef make(" in _renderer_file(name).read_text(encoding="utf-8")


def _renderer_file(name: str) -> Path:
    return PAPERS.parent.joinpath(*renderer_path(name).split(".")).with_suffix(".py")
