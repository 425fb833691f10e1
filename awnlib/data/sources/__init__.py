"""Where images come from, by name: each source is one file of this package, named after it.

A source file ``awnlib/data/sources/<name>.py`` defines ``read(config: DatasetConfig, folder: Path) -> RawData``, and as
a literal ``PLACES`` the folders inside the data folder that are usual for it, if it has any; adding a file adds the
source. Listing names and places imports neither torch nor the sources. `photographs` alone, whose images have neither
labels nor one size, is read by `awnlib.data.pairing`.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from awnlib.data.config import DatasetConfig
    from awnlib.data.raw import RawData

__all__ = ["read_source", "source_names", "usual_places"]


def source_names() -> list[str]:
    """Return the names that a data set's ``source`` can have."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def usual_places(source: str) -> tuple[str, ...]:
    """Return the folders inside the data folder that a source is read from if a data set has no `path`."""
    module = ast.parse(Path(__file__).with_name(f"{source}.py").read_text(encoding="utf-8"))
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="PLACES")], value=value):
                return tuple(ast.literal_eval(value))
    return ()


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
    data: RawData = import_module(f"awnlib.data.sources.{config.source}").read(config, folder)
    return data
