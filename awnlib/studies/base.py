"""What every kind of study says, and the names in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import Field, field_validator

from awnlib.data.config import DatasetConfig
from awnlib.models import model_names
from awnlib.results.exhibits import Exhibit, full_names, is_table
from awnlib.settings import ConfigError, Settings

S = TypeVar("S", bound="BaseStudy")
NAME = r"[a-z0-9][a-z0-9_.-]*"
MODEL, HISTORY = "model.safetensors", "history.parquet"  # what a training leaves, in studies of either kind


class BaseStudy(Settings):
    """What every kind of study says."""

    study: str = Field(pattern=f"^{NAME}$", description="results go to results/<study>/")
    description: str = Field(default="", description="what the study is for; opens its report")
    seeds: list[int] = Field(min_length=1, description="everything is trained once for each seed")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a CUDA device if there is one")
    data_folder: str | None = Field(default=None, description="null: the environment variable AWN_DATA, else ./data")
    datasets: dict[str, DatasetConfig] = Field(min_length=1, description="data sets by a name of your choice")
    only: list[str] = Field(
        default_factory=list,
        description="make (and train) only what these names leave, of tables and figures (of axes and comparisons in a "
        "width-transfer study), data sets and models; empty: all",
    )

    kind: ClassVar[str]
    """The name of the kind of studies: that of its folder."""

    @property
    def results(self) -> Path:
        """The folder of everything that is made of it, below where the workflow runs."""
        return Path("results", self.study)

    @property
    def parts(self) -> list[str]:
        """The names of what a study consists of, which `only` may select besides data sets and models."""
        raise NotImplementedError

    def reduced(self, parts: set[str], datasets: set[str], models: set[str]) -> Self:
        """Return the study with so many of its parts, and of those what these data sets and models need."""
        raise NotImplementedError

    @property
    def shown(self) -> list[str]:
        """The full names of all tables and figures of papers that the study makes."""
        raise NotImplementedError

    @property
    def papers(self) -> list[str]:
        """The papers whose tables and figures the study makes."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.shown))

    @property
    def tables(self) -> list[str]:
        """The names of all tables for readers, each a file of its name."""
        return [name for name in self.shown if is_table(name)]

    @property
    def figures(self) -> list[str]:
        """The names of all figures, each a file of its name."""
        return [name for name in self.shown if not is_table(name)]

    @property
    def collected(self) -> list[str]:
        """The files of the tables that are made of the records of all jobs."""
        raise NotImplementedError

    @property
    def reported(self) -> list[str]:
        """The names of all tables, of records and for readers."""
        return list(dict.fromkeys([*(Path(file).stem for file in self.collected), *self.tables]))

    def tabled(self) -> dict[str, Any]:
        """Return what the tables of all records say besides these, as plain data: a change makes them again."""
        raise NotImplementedError

    def precisions(self) -> set[str]:
        """Return the precisions of everything that is trained."""
        raise NotImplementedError

    @property
    def asks_of_networks(self) -> bool:
        """Whether only a network can tell if the study fits it."""
        return True

    def exhibit(self, name: str) -> Exhibit:
        """Return a table or figure of a paper, by its full name, with what its renderer needs of the study."""
        raise NotImplementedError

    @property
    def shown_datasets(self) -> list[str]:
        """The names of all data sets."""
        return list(self.datasets)

    def images(self) -> dict[str, DatasetConfig]:
        """Return the settings of every data set to prepare, by the name of its file."""
        return dict(self.datasets)

    @field_validator("only", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        """A single name may stand without a list: `--config only=table1`."""
        return [value] if isinstance(value, str) else value

    @field_validator("seeds")
    @classmethod
    def _unique_seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value) or min(value) < 0:
            raise ValueError(f"seeds must be different and not negative, found {value}")
        return value


def selected(study: S, origin: str) -> S:
    """Return a study with those parts that its `only` leaves, and without `only`.

    Raises
    ------
    ConfigError
        If `only` has a name that the study does not, or one that may mean several, or leaves nothing.
    """
    if not study.only:
        return study
    groups = (study.parts, study.shown_datasets, model_names())
    known = [name for group in groups for name in group]
    names = [one_name("only", name, study.parts) if name not in known else name for name in study.only]
    if problems := unknown_names("only", names, sorted(known)):
        raise ConfigError(problems, origin)
    left = study.reduced(*(set(group) & set(names) or set(group) for group in groups))
    if not left.parts:
        raise ConfigError([f"only: nothing in this study has {' and '.join(study.only)}"], origin)
    return left.model_copy(update={"only": []})


def one_name(where: str, short: str, known: list[str]) -> str:
    """Return the one full name that a full or short name means, or the name itself if nothing is called so.

    Raises
    ------
    ConfigError
        If it may mean several.
    """
    found = full_names(short, known)
    if len(found) > 1:
        raise ConfigError([f"{where}: '{short}' may mean {' or '.join(found)}"])
    return found[0] if found else short


def study_yaml(study: BaseStudy) -> str:
    """Return a study as YAML, with all defaults; what loads a study of its kind reads it."""
    text: str = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def name_problems(name: str) -> list[str]:
    """Return a line if a name cannot be that of a folder."""
    if re.fullmatch(NAME, name):
        return []
    return [f"{name!r} becomes a folder name: use lower-case letters, digits, '_', '-' and '.'"]


def unknown_names(where: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a line for each name that is not known, and one for each that stands twice."""
    known = list(known)
    allowed = ", ".join(known)
    counts = Counter(list(names))
    unknown = [f"{where}: unknown name '{name}' (allowed: {allowed})" for name in counts if name not in known]
    return unknown + [f"{where}: '{name}' is named twice" for name, count in counts.items() if count > 1]
