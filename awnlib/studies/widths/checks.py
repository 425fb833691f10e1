"""What a study cannot know without building its networks: checked before any job starts, with torch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from awnlib.data import ImageData, ImagePairs
from awnlib.data.config import DatasetConfig
from awnlib.models import create_structure
from awnlib.settings import ConfigError
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import StudyConfig
from awnlib.tasks import create_task
from awnlib.training.base_counts import check_dimensions
from awnlib.training.engine import model_spec
from awnlib.training.run import RunConfig
from awnlib.training.tracking import StatisticsTracker

ANY_SHAPE = (3, 64, 64)  # colours, and the side of images that are used as they are stored


def check_networks(study: StudyConfig, *, origin: str = "config") -> None:
    """Build every network of a study without its weights, and compare it with what the study says of it.

    Raises
    ------
    ConfigError
        If the images are too small for a network, or a `width_vector` or `track.layer` names what it does not have.
    """
    one_seed = study.model_copy(update={"seeds": study.seeds[:1]})
    problems = [line for run in runs(one_seed) for line in _run_problems(study, run)]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)), origin)


def shape_of_images(image_size: int | None) -> tuple[int, int, int]:
    """Return colours, height and width of the images of a data set; of stored ones a shape that suits every network."""
    channels, *sides = ANY_SHAPE
    height, width = [image_size or side for side in sides]
    return channels, height, width


def _no_images(shape: tuple[int, int, int]) -> ImageData:
    """Return a data set with images of this shape, ten classes and no image."""
    images, labels = torch.zeros(0, *shape, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
    channels = (0.0,) * shape[0]
    return ImageData("none", images, labels, images, labels, tuple("0123456789"), channels, channels, "nowhere")


def _empty(config: DatasetConfig) -> ImageData | ImagePairs:
    """Return what a data set is before anything is known but its configuration."""
    if config.scale is not None:
        return ImagePairs("none", config.scale, [], {}, (0.0,) * 3, (0.0,) * 3, "nowhere")
    return _no_images(shape_of_images(config.image_size))


def _run_problems(study: StudyConfig, run: RunConfig) -> Iterator[str]:
    task = create_task(run.task, run.task_settings, _empty(study.datasets[run.dataset]) if study.datasets else None)
    try:
        spec = model_spec(run, *task.network_shape())
        model = create_structure(**spec.model_dump())
    except ValueError as error:
        yield f"datasets.{run.dataset} with {run.model}: {error}"
        return
    try:
        if run.method_settings.width_vector:
            check_dimensions(run.method_settings.width_vector, model)
    except ValueError as error:
        yield f"methods.{run.method}: {error}"
    try:
        StatisticsTracker(model, run.track.layer, steps=range(1), width_mults=run.widths)
    except ValueError as error:
        yield str(error)
