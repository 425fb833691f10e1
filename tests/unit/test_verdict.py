import json

import pytest

from awnlib.jobs.records import Record, write_record
from awnlib.jobs.verdict import StudyFailedError, check_study


@pytest.fixture
def records(tmp_path):
    """Records of these states, in folders of their own."""

    def make(*states):
        paths = [tmp_path / f"{index}_{state}" / "record.json" for index, state in enumerate(states)]
        for path, state in zip(paths, states, strict=True):
            error = None if state == "ok" else f"reason of {path.parent.name}"
            write_record(path, Record("train_model", state, error, {}))
        return paths

    return make


def test_complete_study(tmp_path, records):
    paths = records("ok", "ok")
    (tmp_path / "checkpoints" / "a").mkdir(parents=True)
    check_study(paths, tmp_path / "new" / "complete.json", checkpoints=tmp_path / "checkpoints")
    assert json.loads((tmp_path / "new" / "complete.json").read_text()) == {"jobs": 2}
    assert all(path.exists() for path in paths)
    assert not (tmp_path / "checkpoints").exists()


def test_incomplete_study_lists_every_cell_and_clears_those_worth_another_try(tmp_path, records):
    paths = records("ok", "failed", "diverged", "skipped", "diverged", "failed")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(StudyFailedError) as caught:
        check_study(paths, tmp_path / "complete.json", checkpoints=tmp_path / "checkpoints")
    assert not (tmp_path / "complete.json").exists()
    assert (tmp_path / "checkpoints").exists()
    assert [path.exists() for path in paths] == [True, False, True, False, True, False]
    message = str(caught.value)
    assert message.startswith("5 of 6 jobs have no result")
    for path in paths[1:]:
        name = path.parent.name
        assert f"{path.parent}: train_model {name.split('_')[1]}: reason of {name}\n" in message
    assert str(paths[0].parent) not in message


def test_diverged_runs_alone_are_kept_and_still_fail_the_study(tmp_path, records):
    paths = records("ok", "diverged")
    for _ in range(2):
        with pytest.raises(StudyFailedError, match="1 of 2 jobs"):
            check_study(paths, tmp_path / "complete.json", checkpoints=tmp_path / "checkpoints")
    assert all(path.exists() for path in paths)
