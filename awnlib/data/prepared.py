"""Preparing a data set, and what is known of a prepared one without reading it.

Beside its file lies a small one of JSON: digests of the content, which decide what is trained and swept again, and of
the files that it was read from, which decide whether it is prepared again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from awnlib.data.config import DatasetConfig
from awnlib.data.source_files import fingerprint
from awnlib.files import atomic_path


def prepare(
    name: str, config: DatasetConfig, folder: Path, path: str | Path, contents: str | Path, asked: str | None
) -> None:
    """Read a data set from its source, and write it to `path` and what is known of it to `contents`.

    Parameters
    ----------
    name, config, folder
        As for `awnlib.data.prepare_dataset`.
    path, contents
        The files to write.
    asked
        What `asked_files` said when this job was planned.
    """
    from awnlib.data import ImagePairs, prepare_dataset

    before = fingerprint(config, folder)  # and not after: files that change meanwhile are read again
    data = prepare_dataset(name, config, folder)
    data.save(path)
    known = {
        "shape": [data.scale] if isinstance(data, ImagePairs) else [*data.image_shape, data.num_classes],
        "training": data.training_digest(),
        "test": data.test_digest(),
        "files": before or fingerprint(config, folder),  # those that were fetched
        "asked": asked,
    }
    with atomic_path(contents) as temporary:
        temporary.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def read_contents(path: str | Path) -> dict[str, Any]:
    """Return what is known of a prepared data set: nothing if it was never prepared, or the file is damaged."""
    try:
        known: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def asked_files(path: str | Path, config: DatasetConfig, folder: Path) -> str | None:
    """Return a value that changes if a data set must be prepared again because its files have changed.

    It stays what it was when the set was prepared for as long as the files are the same or gone: where nothing can be
    read, what there is must do.
    """
    now, known = fingerprint(config, folder), read_contents(path)
    return known.get("asked") if now is None or now == known.get("files") else now
