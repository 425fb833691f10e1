"""Parquet files with documented columns: what ``awnlib.results.columns`` lists, nothing more and nothing less.

``write_table`` refuses rows that do not fit the table's columns; ``read_table`` gives a DataFrame. Units and
descriptions are stored in the file (field metadata) together with where the numbers come from (``read_provenance``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from awnlib.files import atomic_path, why_unreadable
from awnlib.results.column import Column, Table
from awnlib.results.columns import TABLES, describe

__all__ = ["arrow_schema", "describe", "read_provenance", "read_table", "write_table", "write_table_files"]

TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "bytes": pa.binary()}


def arrow_schema(table_name: str) -> pa.Schema:
    """Return the pyarrow schema of a table; every field carries its unit and description.

    Raises
    ------
    ValueError
        If there is no such table; the message lists those there are.
    """
    return pa.schema(
        pa.field(
            column.name,
            TYPES[column.type],
            nullable=column.nullable,
            metadata={"unit": column.unit, "description": column.description},
        )
        for column in _table(table_name).columns
    )


def write_table(
    path: str | Path,
    table_name: str,
    rows: Iterable[Mapping[str, Any]] | pd.DataFrame,
    provenance: Mapping[str, str],
) -> None:
    """Write rows as a parquet file, all or nothing; not-a-number is stored as null.

    Parameters
    ----------
    path
        The file to write; its folder is created.
    table_name
        A name in ``TABLES``.
    rows
        Mappings with exactly the table's columns, or a DataFrame with them in any order; there may be none.
    provenance
        Where the numbers come from (``awnlib.jobs.provenance.provenance``).

    Raises
    ------
    ValueError
        If a column is unknown or missing, a value has the wrong type, or a required value is null.
    """
    table = _table(table_name)
    values = _columns(table, rows)
    arrays = [_array(table, column, values[column.name]) for column in table.columns]
    metadata = {"awnlib": json.dumps(dict(provenance)), "table": table.name, "description": table.description}
    schema = arrow_schema(table_name).with_metadata(metadata)
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary, compression="zstd")


def write_table_files(
    stem: str | Path, table_name: str, frame: pd.DataFrame, provenance: Mapping[str, str], markdown: str
) -> None:
    """Write ``<stem>.parquet`` (`write_table`), ``<stem>.csv`` and, for readers, ``<stem>.md``, each all or nothing."""
    write_table(f"{stem}.parquet", table_name, frame, provenance)
    with atomic_path(f"{stem}.csv") as temporary:
        frame.to_csv(temporary, index=False)
    with atomic_path(f"{stem}.md") as temporary:
        temporary.write_text(markdown, encoding="utf-8")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a parquet table; whole numbers that may be null come as pandas ``Int64``.

    Columns that a table has been given since it was written are null.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, is cut short or is no parquet file.
    """
    table = _open(path, partial(pq.read_table, partitioning=None))  # no columns from folder names such as a=1
    table = _with_later_columns(table)
    frame: pd.DataFrame = table.to_pandas()
    integers = [field.name for field in table.schema if field.nullable and pa.types.is_integer(field.type)]
    return frame.astype(dict.fromkeys(integers, "Int64"))


def read_provenance(path: str | Path) -> dict[str, str]:
    """Return where the numbers of a parquet table come from; raises like ``read_table``."""
    metadata = _open(path, pq.read_schema).metadata or {}
    provenance: dict[str, str] = json.loads(metadata.get(b"awnlib", b"{}"))
    return provenance


def _with_later_columns(table: pa.Table) -> pa.Table:
    name = (table.schema.metadata or {}).get(b"table", b"").decode()
    later = [column for column in TABLES[name].columns if column.nullable] if name in TABLES else []
    for column in later:
        if column.name not in table.column_names:
            table = table.append_column(arrow_schema(name).field(column.name), pa.nulls(len(table), TYPES[column.type]))
    return table


def _table(name: str) -> Table:
    if name not in TABLES:
        raise ValueError(f"no table is called '{name}' (allowed: {', '.join(TABLES)})")
    return TABLES[name]


def _columns(table: Table, rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> Mapping[str, Any]:
    """Return the values by column, after checking that the columns are the table's own."""
    if isinstance(rows, pd.DataFrame):
        _check_names(table, rows.columns, "")
        return {name: rows[name] for name in table.names}
    rows = list(rows)
    for index, row in enumerate(rows):
        _check_names(table, row, f", row {index}")
    return {name: [row[name] for row in rows] for name in table.names}


def _check_names(table: Table, found: Iterable[str], where: str) -> None:
    found = list(found)
    unknown = [str(name) for name in found if name not in table.names]
    missing = [name for name in table.names if name not in found]
    if unknown or missing:
        problems = [
            f"{what} {', '.join(names)}" for what, names in (("unknown", unknown), ("missing", missing)) if names
        ]
        raise ValueError(
            f"table '{table.name}'{where}: columns {'; '.join(problems)} (expected: {', '.join(table.names)})"
        )


def _array(table: Table, column: Column, values: Any) -> pa.Array:
    """Return one column as an arrow array of its declared type; numbers are never cut or reinterpreted."""
    where = f"table '{table.name}', column '{column.name}'"
    try:
        array = pa.array(values, from_pandas=True)  # lets arrow find the type: asking for one cuts 1.5 to 1
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        empty = array.null_count == len(array)
        if not empty and not _fits(array.type, column.type):
            raise pa.ArrowInvalid(f"found {array.type}")
        array = pa.nulls(len(array), TYPES[column.type]) if empty else array.cast(TYPES[column.type])
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"{where}: expected {column.type} values; {error}") from None
    if array.null_count and not column.nullable:
        raise ValueError(f"{where}: {array.null_count} of {len(array)} values are null or not a number")
    return array


def _fits(found: pa.DataType, wanted: str) -> bool:
    is_number = pa.types.is_integer(found) or pa.types.is_floating(found)
    is_text = pa.types.is_string(found) or pa.types.is_large_string(found)
    others = {"string": is_text, "bool": pa.types.is_boolean(found), "bytes": pa.types.is_binary(found)}
    return bool(others.get(wanted, is_number))


def _open(path: str | Path, reader: Any) -> Any:
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: the table does not exist")
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise ValueError(why_unreadable(path, error)) from None
    try:
        return reader(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: cut short or no parquet file ({error})") from None
