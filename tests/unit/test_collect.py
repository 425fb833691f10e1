"""From records to study-wide tables, with holes where jobs failed."""

import dataclasses
import shutil

import pytest

from awnlib.jobs.records import RecordError, read_record, write_record
from awnlib.results.columns import COLLECTED, TABLES
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.widths.cells import evaluations, find_run, runs
from awnlib.studies.widths.collect import collect, collect_runs, run_record, sweep_record
from awnlib.studies.widths.config import parse_study

AWN = "shapes/lenet_3c1l/awn/seed0"


@pytest.fixture
def copied(finished, tmp_path):
    study, results = finished
    return study, shutil.copytree(results, tmp_path / "results")


def collected(study, results):
    collect(study, results, results / "tables")
    return {name: read_table(results / "tables" / f"{name}.parquet") for name in COLLECTED}


def lose(path, state, error="ValueError: why"):
    write_record(path, dataclasses.replace(read_record(path), state=state, error=error, measured={}, files={}))


def test_whole_study(copied):
    study, results = copied
    tables = collected(study, results)
    for name, table in tables.items():
        assert list(table.columns) == TABLES[name].names
        assert read_provenance(results / "tables" / f"{name}.parquet")["study"] == "tiny"
    assert len(tables["runs"]) == len(runs(study)) == 5
    assert len(tables["evaluations"]) == len(evaluations(runs(study))) == 6
    assert set(tables["runs"]["state"]) == set(tables["evaluations"]["state"]) == {"ok"}
    for name, record in (("sweep", sweep_record), ("history", run_record)):
        cells = evaluations(runs(study)) if name == "sweep" else runs(study)
        lengths = [len(read_table(record(results, cell).with_name(f"{name}.parquet"))) for cell in cells]
        assert len(tables[name]) == sum(lengths)


def test_rows_of_runs(copied):
    table = collected(*copied)["runs"].set_index("method")
    awn, us_net = table.loc["awn"], table.loc["us_net"]
    assert (awn["num_epochs"], awn["num_steps"], awn["batch_size"], awn["lr"]) == (2, 10, 20, 0.05)
    assert (awn["num_widths"], us_net["num_widths"]) == (4, 4)
    assert set(table.loc["i_net", "num_widths"]) == {1}
    assert sorted(table.loc["i_net", "individual_width"]) == [0.5, 1.0]
    assert (awn["device"], awn["threads"], awn["resumed"]) == ("cpu", 1, 0)
    assert awn["train_time_s"] > 0


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_lost_run_is_a_hole_and_a_row_that_says_why(copied, state):
    study, results = copied
    whole = collected(study, results)
    lose(run_record(results, find_run(study, AWN)), state)
    lose(results / f"sweeps/{AWN}/as_trained/record.json", "skipped", f"train_model {state}: why")
    tables = collected(study, results)
    for name in ("sweep", "history", "bn_statistics", "bn_drift"):
        expected = whole[name][whole[name]["method"] != "awn"].reset_index(drop=True)
        assert "awn" in set(whole[name]["method"])
        assert tables[name].equals(expected)
    row = tables["runs"].set_index("method").loc["awn"]
    assert (row["state"], row["error"]) == (state, "ValueError: why")
    row = tables["evaluations"].set_index("method").loc["awn"]
    assert (row["state"], row["error"]) == ("skipped", f"train_model {state}: why")
    assert (row["test_set"], row["metric"]) == ("test", "top1_pct")
    assert row[["score"]].isna().all()


def test_nothing_but_holes(copied):
    study, results = copied
    for run in runs(study):
        lose(run_record(results, run), "failed")
    for evaluation in evaluations(runs(study)):
        lose(sweep_record(results, evaluation), "skipped")
    tables = collected(study, results)
    for name in ("sweep", "history", "bn_statistics", "bn_drift"):
        assert len(tables[name]) == 0
        assert list(tables[name].columns) == TABLES[name].names
    assert set(tables["runs"]["state"]) == {"failed"}


def test_lost_sweep_keeps_its_training(copied):
    study, results = copied
    lose(results / f"sweeps/{AWN}/as_trained/record.json", "failed")
    tables = collected(study, results)
    assert "awn" in set(tables["history"]["method"])
    assert "awn" not in set(tables["sweep"]["method"])


def test_labels_are_those_of_today(copied):
    study, results = copied
    data = study.model_dump()
    data["methods"] = {"us_net": {"recalibration": [2, 3], "label": "U"}, "awn": {"label": "Any"}}
    tables = collected(parse_study(data), results)
    for name in ("runs", "history", "bn_statistics", "bn_drift"):
        labels = tables[name].drop_duplicates("method").set_index("method")["label"]
        assert (labels["awn"], labels["us_net"]) == ("Any", "U")
    for name in ("sweep", "evaluations"):
        assert {"Any", "U(2w)", "U(3w)"} <= set(tables[name]["label"])


def test_missing_record_and_changed_file_are_errors(copied):
    study, results = copied
    path = run_record(results, find_run(study, AWN))
    history = path.with_name("history.parquet")
    history.write_bytes(history.read_bytes() + b"x")
    with pytest.raises(RecordError, match=r"history\.parquet is missing or was changed; delete .*record\.json"):
        collect(study, results, results / "tables")
    path.unlink()
    with pytest.raises(RecordError, match=r"record\.json does not exist"):
        collect(study, results, results / "tables")


def test_provenance_shows_where_records_differ(copied):
    study, results = copied
    path = run_record(results, find_run(study, AWN))
    record = read_record(path)
    write_record(path, dataclasses.replace(record, provenance={**record.provenance, "torch": "1.0"}))
    collected(study, results)
    found = read_provenance(results / "tables" / "runs.parquet")
    assert found["torch"] == " | ".join(["1.0", record.provenance["torch"]])


def test_some_runs_of_a_study_that_is_not_finished(copied):
    study, results = copied
    awn, us_net = find_run(study, AWN), find_run(study, "shapes/lenet_3c1l/us_net/seed0")
    for run in runs(study):
        if run not in (awn, us_net):
            run_record(results, run).unlink()
    collect_runs([awn, us_net], results, results / "tables", study="some")
    tables = {name: read_table(results / "tables" / f"{name}.parquet") for name in COLLECTED}
    assert tables["runs"]["method"].tolist() == ["awn", "us_net"]
    assert tables["evaluations"]["variant"].tolist() == ["as_trained", "recal2", "recal3"]
    assert set(tables["sweep"]["method"]) == set(tables["history"]["method"]) == {"awn", "us_net"}
    assert read_provenance(results / "tables" / "runs.parquet")["study"] == "some"
