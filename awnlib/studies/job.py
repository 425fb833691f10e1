"""A job of a study, declared once: all that the workflow has to know of it before it starts, and who does it.

A subclass for each stage, in the `stages` of either kind of study, and an object for each of the stage's cells. Rules,
digests and records follow from it. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from awnlib.jobs.code import reached_code
from awnlib.jobs.hardware import wants_gpu
from awnlib.studies.base import BaseStudy

READER_MEMORY = 1000  # MB for each process that reads images
FEW = 10  # names that a message can list


class Cell(Protocol):
    """What a job is done for: a training run, a search, ..."""

    @property
    def name(self) -> str:
        """The path of its record's folder."""
        ...


S = TypeVar("S", bound=BaseStudy)
C = TypeVar("C", bound=Cell)


@dataclass(frozen=True)
class Job(ABC, Generic[S, C]):
    """One stage at one cell of a study.

    Attributes
    ----------
    stage
        The name of the workflow's rule.
    folder
        Where the records of the stage are, below the results of the study.
    doing
        What a message says of it, in front of its name.
    function
        The function that does it, below `awnlib`: given the job and a `Workplace`. Its code is the job's.
    parts
        Of the prepared images, those that decide the result: "training", "test" or "shape".
    minutes, memory
        The time limit on a cluster; MB for each process that computes.
    """

    stage: ClassVar[str]
    folder: ClassVar[str]
    doing: ClassVar[str]
    function: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    minutes: ClassVar[int]
    memory: ClassVar[int]

    study: S
    cell: C

    @property
    @abstractmethod
    def images(self) -> str:
        """The name of the prepared images."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What else decides the result, as plain data: a change here does the job again."""

    @property
    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What the record says of the cell."""

    @property
    def needs(self) -> Mapping[str, AnyJob]:
        """The jobs that it builds on, by what they are to it."""
        return {}

    @property
    def extensions(self) -> tuple[str, ...]:
        """Modules below `awnlib` that no name in the code leads to: a model, say."""
        return ()

    @property
    def num_processes(self) -> int:
        """How many processes compute together, on a GPU a device for each."""
        return 1

    @property
    def num_readers(self) -> int:
        """How many processes read images for each that computes."""
        return 0

    @property
    def device(self) -> str:
        """Where it computes: "auto", "cpu" or "cuda"."""
        return self.study.device

    @classmethod
    def record_of(cls, name: str) -> str:
        """Return where the record of a cell is, below the results of its study."""
        return f"{cls.folder}/{name}/record.json"

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.cell.name

    @property
    def record(self) -> str:
        """Where its record is, below the results of its study."""
        return self.record_of(self.name)

    @property
    def data(self) -> str:
        """Where its prepared images are, below the results of its study."""
        return f"data/{self.images}.safetensors"

    @property
    def checkpoint(self) -> str:
        """Where its resume point is, if it leaves one, below the results of its study."""
        return f"checkpoints/{self.folder}/{self.name}.safetensors"

    @property
    def code(self) -> str:
        """The digest of its code: a change here does the job again."""
        return reached_code(self.function, *self.extensions)

    @property
    def threads(self) -> int:
        """One for each process, those that read images too."""
        return self.num_processes * (1 + self.num_readers)

    @property
    def mem_mb(self) -> int:
        """MB for all processes."""
        return self.num_processes * (self.memory + READER_MEMORY * self.num_readers)

    @property
    def gpus(self) -> int:
        """How many GPUs, or shares of one, it computes on here."""
        return self.num_processes if wants_gpu(self.device) else 0


AnyJob: TypeAlias = Job[Any, Any]
JobTable: TypeAlias = dict[str, dict[str, AnyJob]]
"""Every job of a study by its stage and name."""


def job_table(study: BaseStudy, cells: Mapping[type[AnyJob], Iterable[Cell]]) -> JobTable:
    """Return the jobs of a study from the cells of each of its stages."""
    return {stage.stage: {cell.name: stage(study, cell) for cell in there} for stage, there in cells.items()}


def find_job(jobs: JobTable, stage: str, name: str) -> AnyJob:
    """Return a job; raise a ValueError that names what there is if the study has no such cell."""
    return find_named(jobs[stage], name, stage)


T = TypeVar("T")


def find_named(there: Mapping[str, T], name: str, kind: str) -> T:
    """Return what has a name; raise a ValueError that lists the names that there are, of many only the nearest."""
    if name not in there:
        shown = list(there) if len(there) <= FEW else difflib.get_close_matches(name, there, FEW, cutoff=0)
        more = f" and {len(there) - len(shown)} more" if len(there) > len(shown) else ""
        raise ValueError(f"there is no {kind} '{name}' in this study (it has: {', '.join(shown) or 'none'}{more})")
    return there[name]
