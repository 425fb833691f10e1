"""What a width-transfer study cannot know without building its networks: checked before any job starts, with torch."""

from __future__ import annotations

from collections.abc import Iterator

from awnlib.models import create_structure
from awnlib.settings import ConfigError
from awnlib.studies.transfer.cells import COMPARISON, Axis, Task
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.jobs import network_spec
from awnlib.studies.widths.checks import shape_of_images


def check_networks(study: TransferStudy, *, origin: str = "config") -> None:
    """Raise a ``ConfigError`` if a network cannot be built: a depth that it does not have, images too small for it."""
    tasks = {task: axis for axis in study.axes() for task in axis.sources}
    problems = [line for task, axis in tasks.items() for line in _task_problems(study, axis, task)]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)), origin)


def _task_problems(study: TransferStudy, axis: Axis, task: Task) -> Iterator[str]:
    spec = network_spec(study, task, shape_of_images(task.configuration.image_size), num_classes=10)
    try:
        create_structure(**spec.model_dump())
    except ValueError as error:
        where = "comparisons" if axis.kind == COMPARISON else "axes"
        yield f"transfer.{where}.{axis.name}: {task.configuration.name}: {error}"
