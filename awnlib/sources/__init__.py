"""Where images come from, by name: each source is one file of this package, named after it.

A source file ``awnlib/sources/<name>.py`` defines ``read(config: DatasetConfig, folder: Path) -> RawData``; adding a
file adds the source. Listing the names imports neither torch nor the sources.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awnlib.config import DatasetConfig
    from awnlib.data.raw import RawData

__all__ = ["read_source", "source_names"]


def source_names() -> list[str]:
    """Return the names that a data set's ``source`` can have."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def read_source(config: DatasetConfig, folder: Path) -> RawData:
    """Read the images of a data set as they are stored; encoded ones are resized already.

    Parameters
    ----------
    config
        What to read: ``source``, ``path``, ``download`` and ``image_size``.
    folder
        The data folder (``awnlib.data.data_folder``).

    Raises
    ------
    DataError
        If something is missing or damaged; the message names the file and says what to do.
    """
    data: RawData = import_module(f"awnlib.sources.{config.source}").read(config, folder)
    return data
