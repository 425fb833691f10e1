"""Studies that are interrupted at random moments: nothing is left over, lost or done twice, and bits are the same.

MOMENTS (how often in all; every kind once if it is not set) and SEED choose the moments. A study suffers every kind
once, in random order; then the same command is given until it succeeds.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.study import TRAINED, Study, wait_until

SPAN_S = 10.0  # an interruption comes within this time
DURING_TRAINING = 0.7  # the share of interruptions that wait for a training to start
STEP_S = 0.4  # a training takes 16 s and more
MOST_COMMANDS = 4  # to finish a study after its last interruption


class TooLate(Exception):  # noqa: N818
    """There is nothing left to interrupt."""


@dataclass
class Scene:
    """A study under way: what the interruptions need."""

    cluster: Cluster
    study: Study
    draw: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self):
        self.start()

    def start(self):
        """Give the command; every other time so that Ctrl-C leaves the jobs alone."""
        self.on_cancel = self.draw.choice(("cancel", "detach"))
        self.process = self.study.start("--submitit-on-cancel", self.on_cancel)

    def going(self):
        return self.process.poll() is None

    def training(self):
        """Return whether a training is going on."""
        last = [events[-1] for events in self.study.events().values() if events]
        return any(event["event"] == "start" and Path(f"/proc/{event['pid']}").exists() for event in last)

    def wait_for_training(self):
        """Wait until a training is going on, or the command ended."""
        while self.going() and not self.training():
            time.sleep(0.2)

    def running_job(self):
        """Return a random job that runs; wait for one; raise `TooLate` if the command ended meanwhile."""
        while self.going():
            jobs = sorted(job for job, state in self.cluster.jobs().items() if state == "RUNNING")
            if jobs:
                return self.draw.choice(jobs)
            time.sleep(0.2)
        raise TooLate


def press_ctrl_c(scene):
    os.killpg(scene.process.pid, signal.SIGINT)
    scene.process.wait(timeout=60)
    scene.counts[f"of those on-cancel {scene.on_cancel}"] += 1
    if scene.on_cancel == "cancel":
        time.sleep(1)
        left = [job for job, state in scene.cluster.jobs().items() if state != "COMPLETING"]
        scene.counts["orphaned jobs"] += len(left)


def kill_snakemake(scene):
    os.killpg(scene.process.pid, signal.SIGKILL)
    scene.process.wait()
    assert scene.study.make("--unlock") == 0  # Snakemake, killed like this, leaves its lock, and says so


def cancel_a_job(scene):
    scene.cluster.run("scancel", scene.running_job())


def requeue_a_job(scene):
    scene.cluster.run("scontrol", "requeue", scene.running_job())


def preempt(scene):
    scene.cluster.run("sbatch", "--wait", "-p", "high", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")


def reach_the_time_limit(scene):
    job = scene.running_job()
    scene.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    wait_until(lambda: scene.cluster.jobs().get(job) not in ("RUNNING", "COMPLETING"), 100, "the time limit")
    if job in scene.cluster.jobs():
        scene.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=60")


def restart_the_controller(scene):
    scene.cluster.stop_controller()
    time.sleep(scene.draw.uniform(0, 4))
    scene.cluster.start_controller()


KINDS = (
    *(press_ctrl_c, kill_snakemake, cancel_a_job, requeue_a_job),
    *(preempt, reach_the_time_limit, restart_the_controller),
)
MOMENTS = int(os.environ.get("MOMENTS", len(KINDS)))
SEED = int(os.environ.get("SEED", 0))


WRONG = (
    *("orphaned jobs", "orphaned processes", "corrupt files", "tables that differ", "weights that differ"),
    *("trained twice at the same time", "trained again from step 0"),
)


def suffer(scene, kinds):
    """Interrupt a study at random moments; return the interruptions that came too late for it."""
    while kinds:
        if not scene.going():  # at once, while cancelled jobs may still be ending
            scene.start()
        if scene.draw.random() < DURING_TRAINING:
            scene.wait_for_training()
        time.sleep(scene.draw.uniform(0, SPAN_S))
        if scene.process.poll() == 0:
            break
        if scene.going():
            with suppress(TooLate):
                during = scene.training()
                kinds[0](scene)
                scene.counts[kinds[0].__name__] += 1
                scene.counts["moments during a training"] += during
                scene.counts["corrupt files"] += len(scene.study.corrupt())
                kinds = kinds[1:]
    return kinds


def finish(scene):
    for _ in range(MOST_COMMANDS):
        if scene.process.wait(timeout=300) == 0:
            return
        scene.counts["commands given again"] += 1
        scene.start()
    assert scene.process.wait(timeout=300) == 0, scene.study.output()


def count_trainings(study):
    """Count what went wrong with trainings: two at a time, work done again that had been saved or finished."""
    counts = Counter()
    for events in study.events().values():
        saved = 0
        for event in events:
            if event["event"] in ("save", "finish"):
                saved = event["step"]
            if event["event"] == "overlap":
                counts["trained twice at the same time"] += 1
            if event["event"] == "start":
                counts["starts"] += 1
                counts["starts from step 0"] += event["step"] == 0
                counts["trained again from step 0"] += event["step"] == 0 and saved > 0
                counts["steps done again"] += max(0, saved - event["step"])
        counts["runs"] += 1
    return counts


def test_jobs_of_a_submission_that_was_cut_short_are_cancelled(cluster, create_study, tmp_path):
    """The first sbatch kills the Snakemake that called it, after SLURM took the job."""
    sbatch = tmp_path / "sbatch"
    real = shutil.which("sbatch", path=cluster.environment["PATH"])
    sbatch.write_text(f'#!/bin/sh\n{real} "$@" && mkdir {tmp_path}/killed 2> /dev/null && kill -KILL $PPID\ntrue\n')
    sbatch.chmod(0o755)
    study = create_study()
    study.environment["PATH"] = f"{tmp_path}{os.pathsep}{study.environment['PATH']}"
    assert study.make("--", *TRAINED) == -signal.SIGKILL, study.output()
    (job,) = cluster.jobs()
    assert study.make("--unlock") == 0
    assert study.make("--", *TRAINED) == 0, study.output()
    assert f"Cancelled SLURM job {job} (prepare_data): its submission was cut short." in study.output()
    assert cluster.jobs() == {}
    told = [[event["event"] for event in events if event["event"] != "save"] for events in study.events().values()]
    assert told == [["start", "finish"]] * len(TRAINED)


def test_job_that_is_requeued_too_often_fails(cluster, create_study):
    study = create_study("--submitit-max-restarts", "1", "--retries", "0", step_s=STEP_S)
    process = study.start("--", TRAINED[0])
    for restarts in range(2):
        wait_until(lambda seen=restarts: count_trainings(study)["starts"] > seen, 180, "a training")
        (events,) = study.events().values()
        cluster.run("scontrol", "requeue", str(events[-1]["job"]))
    assert process.wait(timeout=180) == 1, study.output()
    assert "SLURM started the job again 2 times: 1 are allowed" in study.output()
    (events,) = study.events().values()
    assert [event["event"] for event in events if event["event"] != "save"] == ["start", "start"]
    assert cluster.jobs() == {}


@pytest.mark.parametrize("lap", range(-(-MOMENTS // len(KINDS))))
def test_any_moment(lap, cluster, create_study, undisturbed, capsys):
    draw, counts = random.Random(f"{SEED} {lap}"), Counter(dict.fromkeys(WRONG, 0))
    kinds = draw.sample(KINDS, len(KINDS))[: MOMENTS - lap * len(KINDS)]
    while kinds:
        scene = Scene(cluster, create_study("tables", step_s=STEP_S), draw)
        kinds = suffer(scene, kinds)
        finish(scene)
        study = scene.study
        scene.counts["orphaned jobs"] += len(cluster.jobs())
        scene.counts["orphaned processes"] += len(study.processes())
        scene.counts["corrupt files"] += len(study.corrupt())
        scene.counts["tables that differ"] += study.tables() != undisturbed.tables()
        scene.counts["weights that differ"] += study.weights() != undisturbed.weights()
        counts.update(scene.counts)
        counts.update(count_trainings(study))
    with capsys.disabled():
        print(f"\n{dict(sorted(counts.items()))}")
    assert {name: counts[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
