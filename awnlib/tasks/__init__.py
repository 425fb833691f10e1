"""What networks are trained for and judged by, by name: each task is one file of this package, named after it.

A task file ``awnlib/tasks/<name>.py`` defines ``build``, a subclass of ``Task`` or ``Supervised``, and in literals
``METRICS``, what it measures, ``NEEDS_DATA = False`` if it has no data set, ``NEEDS_PAIRS = True`` if that has images
without labels, ``JUDGES_IMAGES = True`` if it measures single ones, and ``DISTANCES``, those that it can distil with
besides its own loss. A task with settings of its own has a
second file, ``_<name>_settings.py``, with their class ``Settings`` and without torch. Adding the files adds the task.
Names, metrics and settings are read without torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, PlainValidator, SerializeAsAny, ValidationInfo

from awnlib.lazy import lazy_names, names_for_types, read_assigned, read_literal
from awnlib.settings import Settings, parse
from awnlib.tasks._distillation import Distance as Distance
from awnlib.tasks._distillation import Distillation as Distillation
from awnlib.tasks._metric import Metric as Metric

if TYPE_CHECKING:
    from awnlib.tasks._supervised import Supervised as Supervised
    from awnlib.tasks._task import Draw as Draw
    from awnlib.tasks._task import LossOfWidth as LossOfWidth
    from awnlib.tasks._task import StepResult as StepResult
    from awnlib.tasks._task import Task as Task
    from awnlib.tasks._task import Width as Width

__getattr__ = lazy_names(__name__, names_for_types(__file__))


def task_names() -> list[str]:
    """Return the names that ``create_task`` knows."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def check_task(name: str) -> None:
    """Raise a ValueError, with what is allowed, if no task has this name."""
    if name not in task_names():
        raise ValueError(f"unknown task '{name}' (allowed: {', '.join(task_names())})")


def create_task(
    name: str = "classification", settings: Settings | None = None, data: Any = None, **options: Any
) -> Task:
    """Return a task, for one data set if it has one.

    Parameters
    ----------
    name
        One of ``task_names()``.
    settings
        What ``task_settings`` returned; None for the defaults.
    data
        The data set (``awnlib.data.load_dataset``), or None.
    **options
        The task's other options: ``device``, ``batch_size``, ``num_workers``, and ``test_sets`` of supervised ones.

    Raises
    ------
    ValueError
        For an unknown name; the message lists what is allowed.
    """
    check_task(name)
    chosen = task_settings(name, {}) if settings is None else settings
    task: Task = import_module(f"awnlib.tasks.{name}").build(chosen, data, **options)
    return task


def task_metrics(name: str) -> tuple[Metric, ...]:
    """Return what a task measures, the primary metric first.

    Raises
    ------
    ValueError
        For an unknown name, or if the task's file does not list its metrics with literals.
    """
    metrics = read_assigned(_file(name), "METRICS")
    try:
        return tuple(
            Metric(**{str(keyword.arg): ast.literal_eval(keyword.value) for keyword in metric.keywords})
            for metric in metrics.elts  # type: ignore[union-attr]
        )
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{_file(name)}: METRICS must be a tuple of Metric(name=..., ...) with literals") from None


def needs_data(name: str) -> bool:
    """Return whether a task works on a data set: unless its file says `NEEDS_DATA = False`."""
    return read_literal(_file(name), "NEEDS_DATA") is not False


def needs_pairs(name: str) -> bool:
    """Return whether a task works on images without labels (`awnlib.data.ImagePairs`)."""
    return read_literal(_file(name), "NEEDS_PAIRS") is True


def judges_images(name: str) -> bool:
    """Return whether a task measures single test images (`Task.evaluate_images`)."""
    return read_literal(_file(name), "JUDGES_IMAGES") is True


def task_distances(name: str) -> tuple[str, ...]:
    """Return the distances that a task can distil with besides its own loss (`awnlib.tasks.Distillation`)."""
    distances: tuple[str, ...] = read_literal(_file(name), "DISTANCES") or ()
    return distances


def check_distance(name: str, distance: Distance | None) -> None:
    """Raise a ValueError, with what is allowed, if a task cannot distil with a distance."""
    known = task_distances(name)
    if distance is not None and distance not in known:
        raise ValueError(f"no distance '{distance}' in the task '{name}' (allowed: {', '.join(['null', *known])})")


def _file(name: str) -> Path:
    check_task(name)
    return Path(__file__).with_name(f"{name}.py")


def task_settings(name: str, values: Any, *, prefix: str = "task_settings") -> Settings:
    """Validate plain data as the settings of a task; a task without settings of its own has none.

    Raises
    ------
    ValueError
        For an unknown name.
    ConfigError
        With one line per problem.
    """
    return parse(settings_class(name), values, prefix=prefix)


def settings_class(name: str) -> type[Settings]:
    """Return the class of a task's settings, `Settings` itself if it has none; a ValueError for an unknown name."""
    check_task(name)
    own = Path(__file__).with_name(f"_{name}_settings.py")
    kind: type[Settings] = import_module(f"awnlib.tasks.{own.stem}").Settings if own.exists() else Settings
    return kind


def _known(name: str) -> str:
    check_task(name)
    return name


def _checked(values: Any, info: ValidationInfo) -> Settings:
    """Return the settings of the task that stands beside them, already validated or as plain data."""
    if isinstance(values, Settings):
        return values
    return task_settings(info.data["task"], values) if "task" in info.data else Settings()


TaskName = Annotated[str, AfterValidator(_known)]
"""The type of a field `task`."""
TaskSettings = Annotated[SerializeAsAny[Settings], PlainValidator(_checked)]
"""The type of a field `task_settings` that follows a field `task`."""
