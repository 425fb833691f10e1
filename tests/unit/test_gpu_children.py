"""Processes that are asked to end before they are killed, and end with the one that started them."""

import platform
import signal
import subprocess
import sys

import pytest

from benchmarks.gpu import children
from tests.processes import processes_with, wait_for

CHILD = """
import signal, subprocess, sys, time
from pathlib import Path
from benchmarks.gpu.children import end_with_parent

def asked(*_):
    Path(sys.argv[1]).write_text("asked")
    sys.exit(3)

signal.signal(signal.SIGTERM, asked)
end_with_parent()
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(99)"
grandchild = subprocess.Popen([sys.executable, "-c", deaf, sys.argv[1]])
print("started", flush=True)
time.sleep(99)
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="looks for processes in /proc")
def test_a_process_is_asked_to_end_and_its_own_processes_are_ended(tmp_path):
    log, sign = tmp_path / "logs/log", tmp_path / "sign"
    assert children.run_limited([sys.executable, "-c", CHILD, str(sign)], log, 3.0) == (3, True)
    assert sign.read_text() == "asked"
    assert log.read_text() == "started\n"
    wait_for(lambda: not processes_with(str(sign)), seconds=10)


def test_a_process_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "GRACE_S", 0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
    status = children.run_limited([sys.executable, "-c", code], tmp_path / "log", 2.0)
    assert status == (-signal.SIGKILL, True)


def test_a_process_that_ends_in_time_tells_how(tmp_path):
    code = "import sys; print('output'); print('errors', file=sys.stderr); sys.exit(5)"
    assert children.run_limited([sys.executable, "-c", code], tmp_path / "log", 60.0) == (5, False)
    assert sorted((tmp_path / "log").read_text().split()) == ["errors", "output"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_started_them(tmp_path, number):
    log, sign = tmp_path / "log", tmp_path / "sign"
    code = "import sys; from pathlib import Path; from benchmarks.gpu.children import run_limited; "
    code += "run_limited(sys.argv[2:], Path(sys.argv[1]), 99)"
    command = [sys.executable, "-c", code, str(log), sys.executable, "-c", CHILD, str(sign)]
    with subprocess.Popen(command) as parent:
        wait_for(lambda: log.exists() and "started" in log.read_text())
        parent.send_signal(number)
    assert parent.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_for(sign.exists, seconds=10)
