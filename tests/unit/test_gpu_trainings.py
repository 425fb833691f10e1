"""The studies of `python -m benchmarks.gpu`, their images, and one training with its evaluations."""

import dataclasses

import pytest
import yaml

from awnlib.jobs.records import read_record, write_record
from awnlib.results.schemas import read_table
from awnlib.studies.widths.cells import evaluations, runs
from awnlib.studies.widths.collect import run_record, sweep_record
from awnlib.studies.widths.config import load_study, parse_study
from awnlib.studies.widths.stages import SweepWidths, TrainModel
from benchmarks.gpu import cell, trainings
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.studies import PAPER, given_studies, prepared_images, table2_study


@pytest.fixture
def settings(tmp_path):
    return Settings(out=tmp_path / "out", data=tmp_path / "data", device="cpu")


def test_settings_survive_json(settings):
    changed = dataclasses.replace(settings, datasets=("cifar10",), seeds=5, tiny=True)
    for some in (changed, dataclasses.replace(changed, data=None)):
        assert Settings.from_json(some.as_json()) == some


def test_settings_of_lenet_are_those_of_the_paper_s_study(settings):
    paper = {run.name: run for run in runs(load_study(PAPER))}
    found = runs(table2_study("lenet_3c1l", dataclasses.replace(settings, seeds=1)))
    assert len(found) == 3 * 6
    shared = [run for run in found if run.method not in ("awn_all", "us_net_hard")]
    assert shared == [paper[run.name] for run in shared]
    for run in found:
        like = {"awn_all": "awn", "us_net_hard": "us_net"}.get(run.method, run.method)
        assert run.train == paper[run.name.replace(run.method, like)].train


def test_mobilenet_is_that_of_the_paper_but_for_its_epochs(settings):
    paper = {run.name: run for run in runs(load_study(PAPER))}
    study = table2_study("mobilenet_v2", dataclasses.replace(settings, seeds=1, mobilenet_epochs=7))
    assert study.study == "gpu_mobilenet_v2_7_epochs"
    for run in runs(study):
        like = paper[run.name.replace("awn_dense_base", "awn")]
        assert run.train == like.train.model_copy(update={"num_epochs": 7})
        assert run.widths == like.widths
        assert run.method_settings.dense_base == (run.method == "awn_dense_base")
        assert run.method_settings.layer == like.method_settings.layer
    assert {run.dataset for run in runs(study)} == {"cifar10", "cifar100"}


def test_data_sets_that_are_not_there_are_said_and_prepared_ones_taken(settings):
    settings.data.mkdir()
    (settings.data / "cifar10.safetensors").touch()
    settings = dataclasses.replace(settings, datasets=("cifar10", "cifar100"))
    files, problems = prepared_images(table2_study("lenet_3c1l", settings), settings.datasets, settings, settings.out)
    assert files == {"cifar10": settings.data / "cifar10.safetensors"}
    assert len(problems) == 1
    assert problems[0].startswith("cifar100 was skipped: found no folder")


def test_parquet_files_stand_in_for_the_original_ones(settings):
    (settings.data / "cifar10").mkdir(parents=True)
    (settings.data / "cifar10/test.parquet").touch()
    datasets = table2_study("lenet_3c1l", settings).datasets
    assert (datasets["cifar10"].source, datasets["cifar10"].path) == ("parquet", "cifar10")
    assert datasets["cifar100"].source == "cifar100"
    assert {datasets[name].augment for name in ("cifar10", "cifar100")} == {"crop_flip"}
    assert not any(options.download for options in datasets.values())


@pytest.fixture
def tiny_run(study_data, shapes, tmp_path):
    """A study of one US-Net on ten shapes, its run, the images' file and a folder for results."""
    study_data |= {"train": {"num_epochs": 1, "batch_size": 20}, "recalibration": {"num_images": 40}, "device": "cpu"}
    study_data["methods"] = {"us_net_hard": {"recalibration": [2, 3]}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net_hard"]
    study = parse_study(study_data)
    shapes.save(tmp_path / "images")
    return study, runs(study)[0], tmp_path / "images", tmp_path / "results"


def test_a_cell_goes_on_where_it_stopped(tiny_run, monkeypatch):
    study, run, images, results = tiny_run
    do_job, done = cell.do_job, []

    def until_the_sweep(job, *arguments, **options):
        if job.stage == "sweep_widths":
            pytest.exit("killed")
        do_job(job, *arguments, **options)

    def noted(job, *arguments, **options):
        done.append(job.stage)
        do_job(job, *arguments, **options)

    monkeypatch.setattr(cell, "do_job", until_the_sweep)
    with pytest.raises(BaseException, match="killed"):
        cell.work(study, run, images, results)
    assert cell.is_done(run_record(results, run), run)
    assert not cell.is_finished(results, run)
    monkeypatch.setattr(cell, "do_job", noted)
    cell.work(study, run, images, results)
    assert done == ["recalibrate_bn", "sweep_widths"] * 2
    assert cell.is_finished(results, run)
    assert all(read_record(sweep_record(results, one)).state == "ok" for one in evaluations([run]))


def test_a_job_comes_after_what_it_builds_on(study_data):
    study_data |= {"train": {"held_out": 0.2}, "methods": {"us_net_nonuniform": {"recalibration": [3]}}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net_nonuniform"]
    study = parse_study(study_data)
    chains = [[job.stage for job in cell._chain(SweepWidths(study, one))] for one in evaluations(runs(study))]
    assert chains == [
        ["train_model", "recalibrate_bn", "sweep_widths"],
        ["train_model", "slim_widths", "recalibrate_bn", "sweep_widths"],
    ]


@pytest.mark.parametrize(("state", "done"), [("ok", True), ("diverged", True), ("failed", False), ("skipped", False)])
def test_what_failed_is_tried_again_and_so_are_other_settings(tiny_run, state, done):
    study, run, images, results = tiny_run
    cell.work(study, run, images, results)
    path = run_record(results, run)
    write_record(path, dataclasses.replace(read_record(path), state=state))
    assert cell.is_done(path, run) is done
    other = run.model_copy(update={"train": run.train.model_copy(update={"lr": 0.02})})
    assert not cell.is_done(path, other)


def test_a_model_that_was_not_kept_is_trained_again_if_it_is_needed(tiny_run):
    study, run, images, results = tiny_run
    cell.work(study, run, images, results)
    first, last = (sweep_record(results, one) for one in evaluations([run]))
    for model in results.rglob("*.safetensors"):
        model.unlink()
    before = first.read_bytes()
    assert cell.is_finished(results, run)
    last.unlink()
    cell.work(study, run, images, results)
    assert cell.is_finished(results, run)
    assert read_record(last).state == "ok"
    assert first.read_bytes() == before


def test_studies_of_files_are_trained_seed_by_seed_on_this_device(study_data, settings, capsys):
    """All results lie where the workflow would put them."""
    data = {**study_data, "seeds": [0, 1], "device": "cuda", "train": {"num_epochs": 1, "batch_size": 20}}
    data["datasets"] = {name: {"source": "mnist5k", "train_size": 40, "test_size": 20} for name in data["datasets"]}
    data["exhibits"]["any_width_networks.table2"]["methods"] = ["awn"]
    settings.data.mkdir()
    file = settings.data / "study.yaml"
    file.write_text(yaml.safe_dump(data))
    chosen = dataclasses.replace(settings, studies=(str(file),))
    (study,) = given_studies(chosen)
    assert trainings.run("studies", chosen, settings.out) == 0
    results = settings.out / study.study
    assert [run.seed for run in runs(study)] == [0, 1]
    for run in runs(study):
        assert cell.is_finished(results, run)
        assert (results / TrainModel(study, run).data).is_file()
    assert len(read_table(results / "tables/runs.parquet")) == 2
    assert load_study(results / "study.yaml") == study
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if "exit status 0" in line]
    assert names == [run.name for run in runs(study)]
