"""Every job leaves a record: of success, of divergence, of failure, or of a job that it needed and that failed."""

import dataclasses
import json

import pytest

from awnlib.jobs.records import DivergedError, Record, RecordError, read_record, recorded_file, run_job, write_record


def job(path, work, **options):
    return run_job(path, "train_model", work, cell={"a": 1}, provenance={"torch": "2"}, **options)


def fail(error):
    def work(_):
        raise error

    return work


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "x" / "record.json"


def test_success(path):
    def work(folder):
        (folder / "b.txt").write_text("b")
        (folder / "a.txt").write_text("a")
        (folder / ".half.tmp").write_text("left by a killed process")
        return {"seconds": 1.5}

    record = job(path, work)
    assert record == read_record(path)
    assert (record.stage, record.state, record.error) == ("train_model", "ok", None)
    assert (record.cell, record.measured, record.provenance) == ({"a": 1}, {"seconds": 1.5}, {"torch": "2"})
    assert list(record.files) == ["a.txt", "b.txt"]
    assert recorded_file(path, "a.txt").read_text() == "a"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("too small"), "failed"),
        (MemoryError("full"), "failed"),
        (ZeroDivisionError("a mistake in the code"), "failed"),
        (DivergedError("nan"), "diverged"),
        (ArithmeticError("inf"), "failed"),
    ],
)
def test_error_becomes_a_record_and_its_traceback_goes_to_the_log(path, capsys, error, state):
    record = job(path, fail(error))
    assert record == read_record(path)
    assert (record.state, record.error) == (state, f"{type(error).__name__}: {error}")
    assert record.files == record.measured == {}
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interruption_goes_through_and_leaves_no_record(path, error):
    with pytest.raises(error):
        job(path, fail(error()))
    assert not path.exists()


@pytest.mark.parametrize(
    ("state", "becomes"), [("failed", "skipped"), ("skipped", "skipped"), ("diverged", "diverged")]
)
def test_what_builds_on_a_lost_job_is_not_tried(tmp_path, path, state, becomes):
    needed = tmp_path / "needed.json"
    write_record(needed, Record("train_model", state, "ValueError: why", {}))
    record = run_job(path, "sweep_widths", fail(AssertionError("tried")), cell={}, needs=[needed], provenance={})
    assert record == read_record(path)
    assert (record.state, record.error) == (becomes, f"train_model {state}: ValueError: why")


def test_divergence_and_its_reason_reach_the_last_job_of_a_chain(tmp_path, path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    run_job(first, "train_model", fail(DivergedError("nan")), cell={}, provenance={})
    run_job(second, "recalibrate_bn", fail(AssertionError()), cell={}, needs=[first], provenance={})
    record = run_job(path, "sweep_widths", fail(AssertionError()), cell={}, needs=[second], provenance={})
    assert record.state == "diverged"
    assert record.error.endswith("DivergedError: nan")


def test_job_whose_needs_are_ok_is_done(tmp_path, path):
    job(tmp_path / "needed.json", lambda _: {})
    assert job(path, lambda _: {"n": 1}, needs=[tmp_path / "needed.json"]).measured == {"n": 1}


def test_second_attempt_names_its_own_files_only(path):
    """A failed attempt names no files of the one before it."""
    job(path, lambda folder: (folder / "model").write_text("old") and {})
    job(path, fail(ValueError("now it fails")))
    with pytest.raises(RecordError, match="names no file model"):
        recorded_file(path, "model")


def write_model(folder):
    (folder / "model").write_text("weights")
    return {}


@pytest.mark.parametrize("harm", ["change", "delete", "empty"])
def test_changed_or_missing_file_is_noticed(path, harm):
    job(path, write_model)
    file = path.with_name("model")
    if harm == "delete":
        file.unlink()
    else:
        file.write_text("weightz" if harm == "change" else "")
    with pytest.raises(RecordError) as caught:
        recorded_file(path, "model")
    assert str(file) in str(caught.value)
    assert f"delete {path}" in str(caught.value)


def test_file_that_the_job_did_not_leave(path):
    job(path, write_model)
    path.with_name("stray").write_text("x")
    with pytest.raises(RecordError, match="names no file stray"):
        recorded_file(path, "stray")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"stage": "x"}', b'{"unknown": 1}', b"[]", b"null", b"3", b"\xff\xfe\x00binary"]
)
def test_damaged_record_is_named(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)


def test_missing_record_is_named(path):
    with pytest.raises(RecordError, match=r"record\.json does not exist"):
        read_record(path)
    path.mkdir(parents=True)
    with pytest.raises(RecordError, match=r"record\.json is a folder, not a file"):
        read_record(path)


def test_folder_in_place_of_a_recorded_file_is_named(path):
    job(path, write_model)
    file = next(file for file in path.parent.iterdir() if file != path)
    file.unlink()
    file.mkdir()
    with pytest.raises(RecordError, match=f"{file} is missing or was changed"):
        recorded_file(path, file.name)


def test_record_is_json_with_the_documented_keys(path):
    write_record(path, Record("train_model", "ok", None, {"a": [1, None, "x"]}))
    assert set(json.loads(path.read_text())) == {field.name for field in dataclasses.fields(Record)}


def test_record_is_written_whole_or_not_at_all(path):
    write_record(path, Record("train_model", "ok", None, {}))
    before = path.read_text()
    with pytest.raises(TypeError):
        write_record(path, Record("train_model", "ok", None, {"a": object()}))
    assert path.read_text() == before
