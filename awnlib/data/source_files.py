"""Where the files of a data set are, and whether they have changed: names, sizes and times, never their content.

A workflow asks this whenever it starts, so it must be cheap; what is *trained* again follows from the content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from awnlib.data.config import DatasetConfig
from awnlib.data.sources import usual_places


def data_folder(configured: str | None) -> Path:
    """Return the folder of the data sets: the configured one, else ``$AWN_DATA``, else ``./data``."""
    return Path(configured or os.environ.get("AWN_DATA") or "data").expanduser()


def fingerprint(config: DatasetConfig, folder: Path) -> str | None:
    """Return a digest of the names, sizes and times of all files that a data set may be read from.

    Of a streamed set only its folders are looked at, whose times change with the names in them: it may have millions of
    files. As its images stay where they are, the path of the folder counts.

    Parameters
    ----------
    config
        The data set: `source`, `path`, `test_paths` and `stream`.
    folder
        The data folder (`data_folder`).

    Returns
    -------
    str or None
        None if there are no files: they are yet to be fetched, or come with a package.
    """
    places = [config.path, *config.test_paths.values()] if config.path is not None else usual_places(config.source)
    look = _folders if config.stream else _files
    lines = [line for place in places for line in look(folder / place, place)]
    if not lines:
        return None
    root = str(folder.absolute()) if config.stream else ""
    return hashlib.sha256("\n".join([root, *sorted(lines)]).encode(errors="surrogateescape")).hexdigest()[:16]


def _files(root: Path, shown: str) -> Iterator[str]:
    """Yield a line for each file below a folder."""
    for parent, _, names in os.walk(root, followlinks=True):
        below = os.path.join(shown, os.path.relpath(parent, root))
        for name in names:
            yield f"{below}/{name} {_size_and_time(os.path.join(parent, name))}"


def _folders(root: Path, shown: str) -> Iterator[str]:
    """Yield a line for each folder that holds the images of a class, without listing it."""
    for split in _subfolders(root):
        for kind in _subfolders(split):
            yield f"{shown}/{split.name}/{kind.name} {kind.stat().st_mtime_ns}"


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _size_and_time(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:  # a link to nothing: reading says so
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
