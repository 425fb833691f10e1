"""The job that slims a trained run: from files to files, resumed, and blind to test images."""

import dataclasses
import json
import os
import signal

import pytest
import torch

from awnlib.data.splits import hold_out
from awnlib.evaluation.slimming import equal_batches
from awnlib.evaluation.width_path import NetworkSlimming, slim_network
from awnlib.jobs.checkpoint import CheckpointError, save_tensors
from awnlib.jobs.records import read_record, recorded_file
from awnlib.models import load_model
from awnlib.results.schemas import read_table
from awnlib.studies.shell import do_job
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.collect import collect, run_record
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import SlimWidths, jobs
from tests.conftest import STUDY, finish

METHOD = "us_net_nonuniform"
SETTINGS = {"bins": 3, "num_images": 25, "batch_size": 10}


def study_with(**slimming):
    data = json.loads(json.dumps(STUDY)) | {"device": "cpu", "models": {"lenet_3c1l": {"base_width_mult": 0.25}}}
    data |= {"train": {"num_epochs": 1, "batch_size": 20, "lr": 0.05, "held_out": 0.3}}
    data |= {"recalibration": {"num_images": 40}, "slimming": {**SETTINGS, **slimming}}
    data |= {"methods": {METHOD: {"recalibration": [3]}}, "track": {"num_points": 2}}
    data["exhibits"]["any_width_networks.table2"]["methods"] = [METHOD]
    return parse_study(data)


@pytest.fixture(scope="module")
def slimmed(shapes, tmp_path_factory):
    """A finished study with a slimmed run: (study, results folder)."""
    study, results = study_with(), tmp_path_factory.mktemp("results")
    finish(study, shapes, results)
    return study, results


def slimming_of(study, results, shapes):
    """Return the search as the job makes it, written out."""
    model, _ = load_model(run_record(results, runs(study)[0]).with_name("model.safetensors"))
    _, held_out = hold_out(shapes, 0.3, seed=0)
    return NetworkSlimming(model, equal_batches(shapes, held_out[:25], 10, torch.device("cpu")), 3)


def test_the_slimmed_network_is_recalibrated_swept_and_collected(slimmed, shapes):
    study, results = slimmed
    (run,) = runs(study)
    record = results / SlimWidths(study, run).record
    assert read_record(record).state == "ok"
    assert read_record(record).measured["held_out_images"] == 25
    trained, _ = load_model(run_record(results, run).with_name("model.safetensors"))
    model, metadata = load_model(recorded_file(record, "model.safetensors"))
    assert metadata == {"run": run.model_dump()}
    assert all(torch.equal(value, dict(trained.named_parameters())[name]) for name, value in model.named_parameters())
    collect(study, results, results / "tables")
    vectors, sweep = (read_table(results / f"tables/{name}.parquet") for name in ("slimming", "sweep"))
    assert set(vectors["label"]) == {"Nonuniform US-Net"}
    slimming = slimming_of(study, results, shapes)
    assert vectors["step"].nunique() == slimming.num_steps + 1
    for _, vector in vectors.groupby("step"):
        slimming.model.set_widths(dict(zip(vector["channels"], vector["multiplier"], strict=True)))
        assert [one.active for one in slimming.model.channels.values()] == vector["count"].tolist()
    used = vectors.dropna(subset="width_mult")
    assert used["width_mult"].min() == 0.25
    sweep = sweep[sweep["metric"] == "top1_pct"].set_index("width_mult")
    own, uniform = (sweep[sweep["variant"] == name] for name in ("slimmed3", "recal3"))
    for width_mult, row in own.iterrows():
        chosen = used[used["width_mult"] <= width_mult]
        assert row["macs"] == chosen.loc[chosen["width_mult"].idxmax(), "macs"]
        assert width_mult not in uniform.index or row["macs"] <= uniform.loc[width_mult, "macs"]
    for end in (0.25, 1.0):
        assert own.loc[end, "score"] == uniform.loc[end, "score"]  # there both are the same network
    evaluations = read_table(results / "tables/evaluations.parquet")
    assert set(evaluations["label"]) == {"Nonuniform US-Net(3w)", "Nonuniform US-Net(3w, slimmed)"}
    assert set(evaluations["state"]) == {"ok"}


def test_slimming_is_blind_to_test_images_and_to_what_was_trained_with(slimmed, shapes, tmp_path):
    """The same without them; other held-out images decide otherwise."""
    study, results = slimmed
    (run,) = runs(study)
    job = SlimWidths(study, run)
    _, held = hold_out(shapes, 0.3, seed=0)
    blind = dataclasses.replace(
        shapes,
        test_images=shapes.test_images[:0],
        test_labels=shapes.test_labels[:0],
        train_images=shapes.train_images.clone(),
    )
    trained_with = torch.ones(100, dtype=torch.bool)
    trained_with[held] = False
    blind.train_images[trained_with] = 0
    assert job.parts == ("training",)
    paths, vectors = left_by(results / job.record)
    found, again = slim_again(job, results, blind, tmp_path / "blind")
    assert found == paths
    assert again.equals(vectors)
    blind.train_images[held] = blind.train_images[held].flip(-1)
    _, other = slim_again(job, results, blind, tmp_path / "other")
    assert not other["error_pct"].equals(vectors["error_pct"])


def left_by(record):
    """Return the path and the width vectors that the job left."""
    model, _ = load_model(recorded_file(record, "model.safetensors"))
    return model.spec.paths, read_table(recorded_file(record, "slimming.parquet"))


def slim_again(job, results, images, folder):
    """Do the job on other images; return what it left."""
    images.save(folder / "images.safetensors")
    copied = folder / "results" / job.needs["trained"].record
    copied.parent.mkdir(parents=True)
    for file in (results / job.needs["trained"].record).parent.iterdir():
        (copied.parent / file.name).write_bytes(file.read_bytes())
    record = do_job(job, folder / "results", data=folder / "images.safetensors")
    assert record.state == "ok", record.error
    return left_by(folder / "results" / job.record)


def test_a_slimming_that_was_terminated_goes_on_where_it_was(slimmed, shapes, tmp_path, monkeypatch):
    study, results = slimmed
    slimming, path = slimming_of(study, results, shapes), tmp_path / "point"
    expected = slim_network(slimming)
    step = NetworkSlimming.step

    def terminated(self, rows):
        if rows and rows[-1]["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, rows)

    monkeypatch.setattr(NetworkSlimming, "step", terminated)
    with pytest.raises(SystemExit) as caught:
        slim_network(slimming, checkpoint=path, identity=["a"])
    assert caught.value.code == 143
    started = []
    monkeypatch.setattr(NetworkSlimming, "step", lambda self, rows: started.append(len(rows)) or step(self, rows))
    assert slim_network(slimming, checkpoint=path, identity=["a"]) == expected
    assert started[0] == sum(row["step"] <= 3 for row in expected)
    started.clear()
    assert slim_network(slimming, checkpoint=path, identity=["a"]) == expected  # a finished one does nothing twice
    assert started == [len(expected)]


def test_resume_points_of_others_are_not_used(slimmed, shapes, tmp_path, capsys):
    study, results = slimmed
    slimming, path = slimming_of(study, results, shapes), tmp_path / "point"
    save_tensors(path, {}, {"identity": ["a"], "rows": [{"step": 0}]})
    assert slim_network(slimming, checkpoint=path, identity=["b"]) == slim_network(slimming)
    assert f"{path} is of another network, images or settings: starting anew" in capsys.readouterr().err
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="point"):
        slim_network(slimming, checkpoint=path)


def test_a_run_that_failed_is_not_slimmed(slimmed, tmp_path, shapes):
    study, _ = slimmed
    shapes.save(tmp_path / "data" / "shapes.safetensors")
    record = do_job(jobs(study)["slim_widths"][runs(study)[0].name], tmp_path)
    assert record.state == "skipped"


@pytest.mark.parametrize("change", [{"bins": 4}, {"num_images": 20}, {"batch_size": 25}])
def test_settings_are_those_of_the_slimming(slimmed, change):
    study, _ = slimmed
    (before, after) = (jobs(one)["slim_widths"][runs(one)[0].name].settings for one in (study, study_with(**change)))
    assert {**before, **change} == after
