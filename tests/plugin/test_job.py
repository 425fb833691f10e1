"""What runs on the node, in real processes: signals end the command gently; then it is requeued or leaves no result."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from submitit.helpers import DelayedSubmission

from snakemake_executor_plugin_submitit.job import TERMINATED, SnakemakeJob, end

# Saves its state on SIGTERM, which takes a moment; with a saved state it has nothing left to do.
WORKER = """
import pathlib, signal, sys, time

folder, status = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def save(*_):
    time.sleep(0.3)
    (folder / "state").touch()
    sys.exit(status)

signal.signal(signal.SIGTERM, save)
(folder / "worker").write_text(str(__import__("os").getpid()))
if (folder / "state").exists():
    sys.exit(0)
time.sleep(60)
"""


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Node:
    """Runs a job as submitit does on a node, with a fake scontrol."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "worker.py").write_text(WORKER)
        (folder / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {folder}/requeued\n')
        (folder / "scontrol").chmod(0o755)

    def submit(self, status=143, *, timeout_min=100, requeues=3, grace_s=20, orphaned=False):
        worker = f"{sys.executable} {self.folder}/worker.py {self.folder} {status}"
        command = f"sh -c '{worker}; true'" if orphaned else worker
        delayed = DelayedSubmission(SnakemakeJob(command, grace_s))
        delayed.set_timeout(timeout_min, requeues)
        delayed.dump(self.folder / "7_submitted.pkl")

    def start(self, cluster="slurm"):
        names = {"SLURM_JOB_ID": "7", "SUBMITIT_LOCAL_JOB_ID": "7", "SUBMITIT_EXECUTOR": cluster}
        environment = {**os.environ, **names, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}
        command = [sys.executable, "-m", "submitit.core._submit", str(self.folder)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_and_wait(self, cluster="slurm"):
        process = self.start(cluster)
        wait_for(lambda: (self.folder / "worker").exists() and (self.folder / "worker").read_text())
        return process

    def worker_runs(self):
        try:
            return psutil.Process(int((self.folder / "worker").read_text())).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def result(self):
        path = self.folder / "7_0_result.pkl"
        return pickle.loads(path.read_bytes()) if path.exists() else None


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.mark.parametrize("orphaned", [False, True], ids=["", "a shell between dies at once"])
def test_time_limit_saves_requeues_and_continues(node, orphaned):
    """SLURM sends submitit's signal to every process of the job: only submitit's may answer."""
    node.submit(orphaned=orphaned)
    process = node.start_and_wait()
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGUSR2)
    process.send_signal(signal.SIGUSR2)
    process.wait(timeout=30)
    assert (node.folder / "state").exists()
    assert not node.worker_runs()
    assert (node.folder / "requeued").read_text() == "requeue 7\n"
    assert node.result() is None
    assert DelayedSubmission.load(node.folder / "7_submitted.pkl").function.requeues == 1
    assert node.start().wait(timeout=30) == 0
    assert node.result() == ("success", 0)


def test_last_time_limit_fails_the_job(node):
    node.submit(timeout_min=0, requeues=0)
    process = node.start_and_wait()
    process.send_signal(signal.SIGUSR2)
    process.wait(timeout=30)
    assert "timed-out too many times" in node.result()[1]
    assert not (node.folder / "requeued").exists()
    assert not node.worker_runs()


def test_terminated_job_waits_for_its_end_and_leaves_no_result(node):
    """Ending earlier, or with a result, a job that SLURM is about to requeue would count as failed."""
    node.submit()
    process = node.start_and_wait()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: not node.worker_runs())
    time.sleep(0.5)
    assert (node.folder / "state").exists()
    assert process.poll() is None
    process.kill()
    process.wait()
    assert node.result() is None


def test_pre_emption_that_sends_both_signals_requeues(node):
    node.submit()
    process = node.start_and_wait()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: not node.worker_runs())
    process.send_signal(signal.SIGUSR2)
    process.wait(timeout=30)
    assert (node.folder / "requeued").read_text() == "requeue 7\n"
    assert node.result() is None


def test_terminated_local_job_ends_at_once_without_a_result(node):
    node.submit()
    process = node.start_and_wait("local")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == TERMINATED
    assert (node.folder / "state").exists()
    assert node.result() is None


def test_command_that_completes_in_spite_of_sigterm_counts(node):
    node.submit(status=0)
    process = node.start_and_wait()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert node.result() == ("success", 0)


@pytest.mark.parametrize("status", [0, 1, 77])
def test_status_of_the_command_is_the_result(status):
    before = signal.getsignal(signal.SIGTERM)
    assert SnakemakeJob(f"exit {status}", 1)() == status
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("devices", "seen"), [(["2", "MIG-5"], "2,MIG-5"), (None, "7")])
def test_command_sees_its_gpus(tmp_path, monkeypatch, devices, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    SnakemakeJob(f'echo "$CUDA_VISIBLE_DEVICES" > {tmp_path}/seen', 1, devices)()
    assert (tmp_path / "seen").read_text().strip() == seen


def test_job_inside_snakemake_is_stopped_from_another_thread():
    job, statuses = SnakemakeJob("sleep 60", 5), []
    thread = threading.Thread(target=lambda: statuses.append(job()))
    thread.start()
    wait_for(lambda: job.process is not None)
    job.stop()
    thread.join(timeout=30)
    assert len(statuses) == 1
    assert statuses[0] != 0


def test_processes_that_ignore_sigterm_are_killed_after_the_grace_period(tmp_path):
    stubborn = f"trap '' TERM; touch {tmp_path}/started; sleep 60 & wait; sleep 60"
    with subprocess.Popen(["sh", "-c", stubborn]) as process:
        wait_for((tmp_path / "started").exists)
        started = time.monotonic()
        end([process.pid], grace_s=0.5)
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert time.monotonic() - started >= 0.5


def test_ending_what_ended_already_does_nothing():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    end([process.pid], grace_s=5)


@pytest.mark.parametrize(
    ("restarts", "allowed", "runs"), [("3", 2, False), ("2", 2, True), (None, 0, True), ("9", None, True)]
)
def test_slurm_may_start_a_job_again_so_often(tmp_path, monkeypatch, restarts, allowed, runs):
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    if restarts is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    job = SnakemakeJob(f"touch {tmp_path}/ran", 1, max_restarts=allowed)
    if runs:
        assert job() == 0
    else:
        with pytest.raises(RuntimeError, match="SLURM started the job again 3 times: 2 are allowed"):
            job()
    assert (tmp_path / "ran").exists() == runs
