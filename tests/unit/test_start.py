import multiprocessing
import os
import signal

import pytest

from awnlib.jobs.start import check_python, lock_study
from awnlib.settings import ConfigError


@pytest.mark.parametrize("path", ["/home/my clone/.venv/bin/python", "/home/a&b/python", "/home/o'neil/python"])
def test_a_python_that_a_shell_does_not_find_is_refused(path):
    with pytest.raises(ConfigError, match="make the virtual environment in another folder") as caught:
        check_python(path)
    assert path in str(caught.value)
    check_python("/home/me/.venv/bin/python3.11")


def hold(folder, connection):
    lock_study(folder)
    connection.send("held")
    signal.pause()


@pytest.fixture
def holder(tmp_path):
    """A process that runs a study in `tmp_path`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "held"
    yield process
    process.kill()
    process.join()


def test_a_study_is_run_by_one_process_at_a_time(holder, tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path} is in use by process {holder.pid} on "):
        lock_study(tmp_path)
    lock_study(tmp_path / "another study")
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    lock_study(tmp_path)
