"""What every kind of study says, and the names in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator

from awnlib.data.config import DatasetConfig
from awnlib.settings import Settings

NAME = r"[a-z0-9][a-z0-9_.-]*"


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
