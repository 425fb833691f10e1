"""Which tests run on a GPU's machine, and that only those that failed run again."""

from pathlib import Path

import pytest

from benchmarks.gpu import INCOMPLETE, checks
from benchmarks.gpu.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(out=tmp_path, data=None, device="cuda")


def test_marked_tests_come_first_and_files_are_there(settings, repository):
    groups = checks._groups(settings)
    assert list(groups)[:2] == ["test_batches on the GPU", "test_on_device on the GPU"]
    assert groups["test_on_device on the GPU"] == ["-m", "cuda", "tests/unit/test_on_device.py"]
    assert all((repository / arguments[-1]).is_file() for arguments in groups.values())


def test_what_failed_or_was_not_reached_runs_in_the_next_call(settings, monkeypatch):
    called = []

    def call(arguments):
        name = Path(arguments[-1]).stem
        called.append(name)
        if name == "test_sweep" and len(called) < 12:
            raise KeyboardInterrupt
        failed = name == "test_train" and len(called) < 12
        return {"status": int(failed), "result": "", "wall_s": 1.0, "provenance": {}}

    monkeypatch.setattr(checks, "_call", call)
    with pytest.raises(KeyboardInterrupt):
        checks.run("checks", settings, settings.out)
    first = called.copy()
    called += [""] * (12 - len(called))
    assert checks.run("checks", settings, settings.out) == 0
    files = [Path(arguments[-1]).stem for arguments in checks._groups(settings).values()]
    assert first == files[: files.index("test_sweep") + 1]
    assert called[12:] == ["test_train", *files[files.index("test_sweep") :]]


def test_without_pytest_nothing_is_checked_and_that_is_said(settings, monkeypatch, capsys):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert checks.run("checks", settings, settings.out) == INCOMPLETE
    assert "pytest is not installed" in capsys.readouterr().out
