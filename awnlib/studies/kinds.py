"""The kinds of studies: which one a configuration is of, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from awnlib.settings import read_yaml
from awnlib.studies.base import BaseStudy
from awnlib.studies.job import JobTable
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.departures import departures as transfer_departures
from awnlib.studies.transfer.stages import jobs as transfer_jobs
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.departures import departures as widths_departures
from awnlib.studies.widths.stages import jobs as widths_jobs


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of studies.

    Attributes
    ----------
    parse
        Plain data and the name of their source, for messages, to a study.
    jobs
        Every job of a study.
    departures
        Lines on what a study has different from another, a paper's own.
    """

    parse: Callable[..., BaseStudy]
    jobs: Callable[[Any], JobTable]
    departures: Callable[[Any, Any], list[str]]


KINDS = {
    "widths": Kind(parse_study, widths_jobs, widths_departures),
    "transfer": Kind(parse_transfer_study, transfer_jobs, transfer_departures),
}


def kind_of(data: dict[str, Any]) -> str:
    """Return the name of the kind that plain data are of; one with the key `transfer` is a width-transfer study."""
    return "transfer" if "transfer" in data else "widths"


def parse_any_study(data: dict[str, Any], *, origin: str = "config") -> BaseStudy:
    """Validate plain data as a study of their kind.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    return KINDS[kind_of(data)].parse(data, origin=origin)


def load_any_study(path: Path) -> BaseStudy:
    """Read and validate the YAML file of a study of any kind, as `parse_any_study` does."""
    return parse_any_study(read_yaml(path), origin=str(path))


def study_jobs(study: BaseStudy) -> JobTable:
    """Return every job of a study of any kind, by its stage and name."""
    return KINDS[study.kind].jobs(study)


def collect(study: BaseStudy, results: Path, tables: Path) -> None:
    """Write the study-wide tables (`BaseStudy.collected`) from the records of all jobs.

    Parameters
    ----------
    study
        Says which records there must be.
    results
        The results folder of the study.
    tables
        Folder for the tables.

    Raises
    ------
    RecordError
        If a record, or a file that it names, is missing or damaged.
    """
    _part(study, "collect").collect(study, results, tables)


def check_networks(study: BaseStudy, *, origin: str) -> None:
    """Raise a ``ConfigError`` if networks of a study cannot be built, or do not fit what it says of them."""
    _part(study, "checks").check_networks(study, origin=origin)


def _part(study: BaseStudy, name: str) -> Any:
    """Return a module of a study's kind that is not needed to plan one: it may import torch."""
    return import_module(f"awnlib.studies.{study.kind}.{name}")


def departures_of(study: BaseStudy, paper: BaseStudy) -> list[str]:
    """Return a line for each setting of a study that differs from a paper's own, which is of the same kind."""
    return KINDS[study.kind].departures(study, paper)
