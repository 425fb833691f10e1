"""A whole study on every kind of cluster: the same tables and weights, and nothing done twice."""

import subprocess
from collections import Counter

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.study import METHODS, NUM_STEPS, TRAINED, wait_until


def check_same(study, undisturbed):
    assert study.corrupt() == []
    assert study.tables() == undisturbed.tables()
    assert study.weights() == undisturbed.weights()
    starts = [event["step"] for events in study.events().values() for event in events if event["event"] == "start"]
    assert starts == [0] * len(METHODS)


def check_done(study):
    study.log.unlink()
    assert study.make() == 0, study.output()
    assert "Nothing to be done" in study.output()


def accounts(cluster):
    """Return rule, state and requested resources of every job so far."""
    rows = cluster.run("sacct", "-n", "-X", "-P", "-o", "JobID,JobName,State,ReqTRES").splitlines()
    return {job: values for job, *values in (row.split("|") for row in rows)}


def test_slurm(cluster, create_study, undisturbed):
    before = accounts(cluster)
    study = create_study(step_s=0.15)
    assert study.make() == 0, study.output()
    assert cluster.jobs() == {}
    check_same(study, undisturbed)

    after = accounts(cluster)
    rules, states, resources = zip(*(after[job] for job in after.keys() - before), strict=True)
    assert Counter(rules) == {"prepare_data": 1, "train_model": len(METHODS), "sweep_widths": len(METHODS)}
    assert set(states) == {"COMPLETED"}
    assert sum("gres/gpu=1" in text for text in resources) == 2 * len(METHODS)  # each is trained and swept
    trained = {run: (events[0], events[-1]) for run, events in study.events().items()}
    (first, first_end), (second, second_end) = trained.values()
    assert first["job"] != second["job"]
    assert first["gpus"] in {"0", "1", "2", "3"}
    assert first["time"] < second_end["time"]
    assert second["time"] < first_end["time"]
    assert first["gpus"] != second["gpus"]  # they ran at the same time
    assert [end["step"] for _, end in trained.values()] == [NUM_STEPS] * len(METHODS)

    check_done(study)
    assert accounts(cluster).keys() == after.keys()


@pytest.mark.parametrize("kind", ["local", "debug"])
def test_without_a_scheduler(kind, create_study, undisturbed):
    """The plugin's other clusters need no SLURM: the same command runs on any machine."""
    study = create_study("--submitit-cluster", kind, "tables")
    study.environment["CUDA_VISIBLE_DEVICES"] = "0,1"
    assert study.make() == 0, study.output()
    check_same(study, undisturbed)
    assert {event["job"] for events in study.events().values() for event in events} == {None}
    check_done(study)


def test_without_accounting(create_study, undisturbed):
    """`sacct` fails, as on clusters that keep no accounts; a job that is cancelled is noticed all the same."""
    with Cluster(accounting=False) as cluster:
        with pytest.raises(subprocess.CalledProcessError):
            cluster.run("sacct")
        study = create_study("--retries", "0", on=cluster, step_s=0.15)
        process = study.start("--", *TRAINED)
        wait_until(lambda: any(study.events().values()), 180, "the first training")
        cluster.run("scancel", min(cluster.jobs()))
        assert process.wait(timeout=120) == 1, study.output()
        assert study.make("--", *TRAINED) == 0, study.output()
        assert cluster.jobs() == {}
    assert study.weights() == undisturbed.weights()
