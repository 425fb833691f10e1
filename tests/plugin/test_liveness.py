"""Which jobs live: three looks at the queue, and none of it needs accounting."""

import os
import signal
import subprocess
import sys

import pytest

from snakemake_executor_plugin_submitit.liveness import (
    Queued,
    Watch,
    process_runs,
    slurm_fate,
    slurm_folders,
    slurm_queue,
)

LIVE = {"1": Queued("RUNNING", 0)}


def test_job_is_gone_after_three_absences_in_a_row():
    watch = Watch()
    looks = [{}, {}, LIVE, {}, None, {}, {}]
    assert [watch.gone(["1"], look) for look in looks] == [set()] * 6 + [{"1"}]


def test_queue_that_does_not_answer_tells_nothing():
    watch = Watch()
    assert [watch.gone(["1"], None) for _ in range(9)] == [set()] * 9


def test_queue_is_read_with_states_and_restarts(slurm):
    assert slurm_queue() == {}
    (slurm / "12_3.queued").write_text("SUSPENDED 2")
    (slurm / "7.queued").write_text("PENDING 0")
    assert slurm_queue() == {"12_3": Queued("SUSPENDED", 2), "7": Queued("PENDING", 0)}


def test_failing_or_missing_squeue_is_no_empty_queue(slurm, monkeypatch):
    (slurm / "down").touch()
    assert slurm_queue() is slurm_folders() is None
    monkeypatch.setenv("PATH", "")
    assert slurm_queue() is slurm_folders() is None


def test_folders_of_queued_scripts_may_have_spaces(slurm):
    assert slurm_folders() == {}
    (slurm / "12.path").write_text("/my jobs/train-x/.submission.sh")
    (slurm / "7.path").write_text("(null)")  # what `sbatch --wrap` leaves
    for name in ("12_3", "7"):
        (slurm / f"{name}.queued").touch()
    assert slurm_folders() == {"12_3": "/my jobs/train-x", "7": ""}


SACCT = 'print("OUT_OF_MEMORY|0:125|None")'
SCONTROL = 'print("JobId=7 JobState=NODE_FAIL Reason=NodeDown Dependency=(null) ExitCode=1:0")'


@pytest.mark.parametrize(
    ("programs", "fate"),
    [
        ({}, "state unknown, SLURM does not remember it"),
        ({"scontrol": SCONTROL}, "state NODE_FAIL, reason NodeDown, exit code 1:0 (scontrol)"),
        ({"sacct": "sys.exit(1)", "scontrol": SCONTROL}, "state NODE_FAIL, reason NodeDown, exit code 1:0 (scontrol)"),
        ({"sacct": "pass", "scontrol": "sys.exit(1)"}, "state unknown, SLURM does not remember it"),
        ({"sacct": SACCT, "scontrol": SCONTROL}, "state OUT_OF_MEMORY, exit code 0:125 (sacct)"),
    ],
)
def test_fate_is_told_by_whoever_knows(add_program, programs, fate):
    for name, text in programs.items():
        add_program(name, text)
    assert slurm_fate("7") == fate


def test_local_job_is_known_by_its_folder_not_its_number_alone():
    code = "print(flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, "/jobs/a"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert process_runs(str(process.pid), "/jobs/a")
        assert not process_runs(str(process.pid), "/jobs/b")
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not process_runs(str(process.pid), "/jobs/a")  # it is a zombie
    assert not process_runs(str(process.pid), "/jobs/a")
