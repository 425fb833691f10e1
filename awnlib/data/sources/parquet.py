"""Data sets in parquet files, laid out as on the Hugging Face hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.decode import decode_images, drop_unused_colour
from awnlib.data.raw import TEST_NAMES, DataError, RawData, Split, check_labels, check_readable, numbered_classes

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "fine_label")


def read(config: DatasetConfig, folder: Path) -> RawData:
    """Read ``train.parquet``, or ``train-00000-of-00002.parquet`` and so on, and a test split.

    The test split is named test, validation, valid or val. Columns: ``image`` (or ``img``), encoded bytes or a
    struct with a field ``bytes``; ``label`` (or ``fine_label``), integers from 0. Class names come from the schema's
    metadata: ``classes`` (a JSON list, or names separated by commas) or the Hugging Face ``ClassLabel``.

    Raises
    ------
    DataError
        If a split, shard or column is missing, or a file, image or label cannot be used.
    """
    root = folder / str(config.path)
    train_files, test_files = shards(root, ("train",)), shards(root, TEST_NAMES)
    classes = _class_names(train_files[0])
    train_labels = _read_labels(train_files, len(classes) or None)
    classes = classes or numbered_classes(train_labels, train_files[0])
    test_labels = _read_labels(test_files, len(classes))
    train_images = decode_images(encoded_images(train_files), len(train_labels), config.image_size, "train")
    test_images = decode_images(encoded_images(test_files), len(test_labels), config.image_size, "test")
    splits = drop_unused_colour(Split(train_images, train_labels), Split(test_images, test_labels))
    return RawData(*splits, classes, f"parquet files in {config.path}")


def shards(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Return the files, in order, of the first of the named splits that has any; all its shards must be there."""
    for name in names:
        pattern = re.compile(rf"{name}(?:-(\d+)-of-(\d+).*)?\.parquet")
        for folder in (root, root / "data"):
            found = {file: match for file in sorted(folder.glob("*")) if (match := pattern.fullmatch(file.name))}
            if found:
                numbers = sorted((int(match[1] or 0), int(match[2] or 1)) for match in found.values())
                if numbers != [(index, len(found)) for index in range(len(found))]:
                    listed = ", ".join(file.name for file in found)
                    raise DataError(f"{folder}: the {name} split is not one complete set of shards, found {listed}")
                return list(found)
    expected = " or ".join(f"{name}.parquet" for name in names)
    raise DataError(f"{root}: found no {expected} (or shards such as {names[0]}-00000-of-00002.parquet): put it there")


def _open(file: Path) -> pq.ParquetFile:
    check_readable(file)
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is damaged or no parquet file ({error}): fetch it anew") from None


def image_names(files: list[Path]) -> Iterator[str]:
    """Yield the names of the images of all files: the column `name`, else the numbers of the rows."""
    row = 0
    for file in files:
        if "name" in _open(file).schema_arrow.names:
            yield from (str(name) for column in _column_batches(file, "name") for name in column.to_pylist())
        else:
            count = _open(file).metadata.num_rows
            yield from map(str, range(row, row + count))
        row += _open(file).metadata.num_rows


def _column(file: Path, names: tuple[str, ...]) -> str:
    """Return the first of the names that is a column of the file."""
    present = _open(file).schema_arrow.names
    for name in names:
        if name in present:
            return name
    raise DataError(f"{file}: there is no column {' or '.join(names)}, found {', '.join(present)}")


def _column_batches(file: Path, name: str) -> Iterator[pa.Array]:
    try:
        for batch in _open(file).iter_batches(batch_size=1024, columns=[name]):
            yield batch.column(0)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: column {name} is damaged ({error}): fetch the file anew") from None


def _class_names(file: Path) -> tuple[str, ...]:
    """Return the class names that the schema's metadata give, or none."""
    metadata = _open(file).schema_arrow.metadata or {}
    try:
        if b"classes" in metadata:
            classes = metadata[b"classes"].decode()
            names = json.loads(classes) if classes.startswith("[") else classes.split(",")
        else:
            features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            names = features.get(_column(file, _LABEL_COLUMNS), {}).get("names") or []
    except (ValueError, AttributeError) as error:
        raise DataError(f"{file}: the names of the classes in its metadata cannot be read ({error})") from None
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: the names of the classes in its metadata must be text, found {names}")
    return tuple(names)


def _read_labels(files: list[Path], num_classes: int | None) -> Tensor:
    """Return the labels of all rows of all files, int64 [N]."""
    labels = torch.cat([_file_labels(file, num_classes) for file in files])
    if not len(labels):
        raise DataError(f"{files[0]} has no rows: fetch it anew")
    return labels


def _file_labels(file: Path, num_classes: int | None) -> Tensor:
    name = _column(file, _LABEL_COLUMNS)
    kind = _open(file).schema_arrow.field(name).type
    if not pa.types.is_integer(kind):
        raise DataError(f"{file}: column {name} must hold integers, found {kind}: number the classes from 0")
    column = pa.chunked_array(_column_batches(file, name), kind)
    if column.null_count:
        row = pc.index(column.is_null(), True)
        raise DataError(f"{file}, row {row} (from 0): column {name} has no label: leave out such rows")
    labels = torch.from_numpy(column.cast(pa.int64(), safe=False).to_numpy().copy())
    check_labels(labels, num_classes, file)
    return labels


def encoded_images(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield where each image is, and its bytes."""
    for file in files:
        name, row = _column(file, _IMAGE_COLUMNS), 0
        for column in _column_batches(file, name):
            for content in _image_bytes(file, name, column):
                where = f"{file}, row {row} (from 0)"
                if content is None:
                    raise DataError(f"{where}: column {name} has no image bytes: write the images into the file")
                yield where, content
                row += 1


def _image_bytes(file: Path, name: str, column: pa.Array) -> list[bytes | None]:
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = column.field("bytes")
    if not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
        raise DataError(f"{file}: column {name} must hold encoded images (bytes), found {column.type}")
    contents: list[bytes | None] = column.to_pylist()
    return contents
