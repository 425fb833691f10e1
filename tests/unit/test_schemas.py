"""The parquet tables: round trips, provenance, readers, documented columns and refusals."""

import math
import re
from pathlib import Path

import duckdb
import pandas as pd
import polars
import pyarrow.parquet as pq
import pytest

from awnlib.results.columns import TABLES
from awnlib.results.schemas import arrow_schema, describe, read_provenance, read_table, write_table

DOCS = Path(__file__).parents[2] / "docs" / "results.md"
EVALUATION = {
    "dataset": "mnist",
    "model": "lenet_3c1l",
    "method": "us_net",
    "label": "US-Net(4w)",
    "variant": "recal4",
    "recalibrated_widths": 4,
    "averaging": "exact",
    "recalibration_images": 1024,
    "seed": 0,
    "state": "ok",
    "error": None,
    "test_set": "test",
    "metric": "top1_pct",
    "score": 90.5,
    "min_width_mult": 0.25,
    "max_width_mult": 1.0,
    "num_widths": 25,
    "num_switches": 4,
    "params_stored": 20_000,
    "sweep_time_s": 1.5,
    "recalibration_time_s": 0.5,
}
FAILED = {
    **EVALUATION,
    "seed": 1,
    "state": "failed",
    "error": "out of memory",
    **dict.fromkeys(["score", "num_widths", "num_switches", "params_stored"]),
}


def with_value(**changes):
    return [{**EVALUATION, **changes}]


def test_rows_survive_a_round_trip(tmp_path):
    path = tmp_path / "new" / "evaluations.parquet"
    write_table(path, "evaluations", iter([EVALUATION, FAILED]), {"study": "demo"})
    frame = read_table(path)
    assert list(frame.columns) == TABLES["evaluations"].names
    assert frame.loc[0].to_dict() == {**EVALUATION, "error": frame.loc[0, "error"]}
    assert frame["error"].isna().tolist() == [True, False]
    assert frame["score"].dtype == float
    assert math.isnan(frame.loc[1, "score"])
    assert frame["num_switches"].dtype == "Int64"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_frame_that_was_read_can_be_written_again(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_table(first, "evaluations", [EVALUATION, FAILED], {})
    write_table(second, "evaluations", read_table(first)[sorted(EVALUATION)], {})
    assert pq.read_table(first).equals(pq.read_table(second), check_metadata=True)


def test_whole_numbers_with_holes_stay_whole_when_a_frame_holds_them_as_floats(tmp_path):
    frame = pd.DataFrame([EVALUATION, FAILED]).astype({"num_switches": float})
    write_table(tmp_path / "a.parquet", "evaluations", frame, {})
    assert read_table(tmp_path / "a.parquet")["num_switches"].tolist() == [4, pd.NA]


@pytest.mark.parametrize("name", TABLES)
def test_no_rows_still_have_columns_types_and_descriptions(tmp_path, name):
    for rows in ([], pd.DataFrame(columns=TABLES[name].names)):
        write_table(tmp_path / "a.parquet", name, rows, {})
        assert len(read_table(tmp_path / "a.parquet")) == 0
        assert pq.read_schema(tmp_path / "a.parquet").equals(arrow_schema(name), check_metadata=False)


def test_the_file_says_what_its_columns_mean_and_where_it_comes_from(tmp_path):
    write_table(tmp_path / "a.parquet", "evaluations", [EVALUATION], {"study": "demo", "cpu": "ß"})
    assert read_provenance(tmp_path / "a.parquet") == {"study": "demo", "cpu": "ß"}
    field = pq.read_schema(tmp_path / "a.parquet").field("sweep_time_s")
    assert field.metadata[b"unit"] == b"s"
    assert b"wall time" in field.metadata[b"description"]


def test_pandas_duckdb_and_polars_read_the_same(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, "evaluations", [EVALUATION, FAILED], {})
    query = f"SELECT label, score, num_switches, error FROM '{path}' ORDER BY seed"
    rows = [("US-Net(4w)", 90.5, 4, None), ("US-Net(4w)", None, None, "out of memory")]
    assert duckdb.sql(query).fetchall() == rows
    assert polars.read_parquet(path).select("label", "score", "num_switches", "error").rows() == rows
    assert pd.read_parquet(path)["score"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (with_value(auc=1.0), r"'evaluations', row 0: columns unknown auc \(expected: dataset, model"),
        ([EVALUATION, {"dataset": "x"}], "row 1: columns missing model, method"),
        (pd.DataFrame([EVALUATION]).drop(columns="seed"), "'evaluations': columns missing seed"),
        (with_value(seed=1.5), "column 'seed': expected int values"),
        (with_value(seed="0"), "column 'seed': expected int values; found string"),
        (with_value(score="90"), "column 'score': expected float values; found string"),
        (with_value(score=True), "column 'score': expected float values; found bool"),
        (with_value(label=3), "column 'label': expected string values; found int64"),
        (with_value(label=object()), "column 'label': expected string values"),
        (with_value(state=None), "column 'state': 1 of 1 values are null"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_table(tmp_path / "a.parquet", "evaluations", rows, {})
    assert not list(tmp_path.iterdir())


def test_an_unknown_table_is_refused_with_the_known_names(tmp_path):
    with pytest.raises(ValueError, match=r"no table is called 'sweeps' \(allowed: sweep, images, history"):
        write_table(tmp_path / "a.parquet", "sweeps", [], {})


def test_missing_and_truncated_files_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(FileNotFoundError, match=r"a\.parquet: the table does not exist"):
        read_table(path)
    path.mkdir()
    with pytest.raises(ValueError, match=r"a\.parquet is a folder, not a file"):
        read_table(path)
    path.rmdir()
    write_table(path, "evaluations", [EVALUATION] * 100, {})
    path.write_bytes(path.read_bytes()[:-20])
    for reader in (read_table, read_provenance):
        with pytest.raises(ValueError, match=r"a\.parquet: cut short or no parquet file"):
            reader(path)


def test_columns_that_a_table_was_given_later_are_null(repository):
    """Written before it had them; a required column is never made up."""
    frame = read_table(repository / "docs/results/width_transfer_small/transfer.parquet")
    assert (
        "found_macs_pct" not in pq.read_schema(repository / "docs/results/width_transfer_small/transfer.parquet").names
    )
    assert set(frame) == set(TABLES["transfer"].names)
    assert frame["found_macs_pct"].isna().all()
    assert frame["test_top1_pct"].notna().all()


def test_folder_names_add_no_columns(tmp_path):
    path = tmp_path / "dataset=other" / "a.parquet"
    write_table(path, "evaluations", [EVALUATION], {})
    assert read_table(path)["dataset"].tolist() == ["mnist"]


def test_documentation_shows_the_columns_of_every_table():
    assert describe() in DOCS.read_text(), (
        "docs/results.md is out of date: paste the output of awnlib.results.schemas.describe"
    )


def test_columns_are_described_and_named_with_their_unit():
    for table in TABLES.values():
        assert len(set(table.names)) == len(table.names)
        for column in table.columns:
            assert column.description
            suffix = re.search(r"_(pct|s)$", column.name)
            assert not suffix or column.unit in ("%", "s", "percentage points"), column.name
