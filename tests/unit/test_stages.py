"""The jobs of a study of widths, from files to files."""

import shutil
from importlib.metadata import version
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from awnlib.evaluation.auc import auc_pct
from awnlib.jobs.checkpoint import save_tensors
from awnlib.jobs.records import read_record, recorded_file
from awnlib.models import load_model
from awnlib.results.schemas import read_provenance, read_table
from awnlib.settings import ConfigError, parse
from awnlib.studies.job import find_job
from awnlib.studies.shell import choose_device, do_job
from awnlib.studies.widths.cells import evaluations, find_run, runs
from awnlib.studies.widths.collect import run_record, sweep_record
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import RecalibrateBN, TrainModel, jobs
from awnlib.training.base_counts import with_base_counts
from awnlib.training.engine import train
from awnlib.training.run import RunConfig
from tests.conftest import finish

AWN, S_NET, US_NET = (f"shapes/lenet_3c1l/{method}/seed0" for method in ("awn", "s_net", "us_net"))


@pytest.fixture
def copied(finished, tmp_path):
    """The finished study in a folder that may be changed."""
    study, results = finished
    return study, shutil.copytree(results, tmp_path / "results")


def sweep_of(study, name):
    return find_job(jobs(study), "sweep_widths", name)


def test_every_job_is_ok(finished):
    study, results = finished
    records = [read_record(run_record(results, run)) for run in runs(study)]
    records += [read_record(sweep_record(results, evaluation)) for evaluation in evaluations(runs(study))]
    assert {record.state for record in records} == {"ok"}
    assert len(records) == (3 + 2) + (2 + 2 + 2)


def test_training_leaves_its_files(finished):
    study, results = finished
    path = run_record(results, find_run(study, AWN))
    record = read_record(path)
    assert record.stage == "train_model"
    assert set(record.files) == {"model.safetensors", "history.parquet", "bn_statistics.parquet", "bn_drift.parquet"}
    assert set(path.parent.iterdir()) == {path, *(path.with_name(name) for name in record.files)}
    assert record.cell == {"run": find_run(study, AWN).model_dump()}
    assert (record.measured["num_steps"], record.measured["resumed"]) == (10, 0)
    assert record.provenance["study"] == "tiny"
    assert record.provenance["device"] == "cpu"
    assert record.provenance["threads"] == "1"


def test_trained_model_is_that_of_train(finished, shapes):
    study, results = finished
    run = find_run(study, US_NET)
    model, metadata = load_model(recorded_file(run_record(results, run), "model.safetensors"))
    expected = train(run, shapes)
    assert metadata == {"run": run.model_dump()}
    for name, value in expected.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    rows = read_table(recorded_file(run_record(results, run), "history.parquet"))
    assert rows["score"].tolist() == [row["score"] for row in expected.history]
    assert rows["metric"].tolist() == ["top1_pct", "loss_nats"] * (len(rows) // 2)


@pytest.mark.parametrize("name", [AWN, S_NET])
def test_sweep_is_the_accuracy_of_each_width(finished, shapes, name):
    study, results = finished
    model, _ = load_model(recorded_file(run_record(results, find_run(study, name)), "model.safetensors"))
    path = results / sweep_of(study, f"{name}/as_trained").record
    sweep = read_table(recorded_file(path, "sweep.parquet"))
    images = ((shapes.test_images.double() / 255 - shapes.mean[0]) / shapes.std[0]).float()
    for width_mult, rows in list(sweep.groupby("width_mult"))[::5]:
        row = rows.set_index("metric")["score"]
        model.set_width_mult(width_mult)
        with torch.no_grad():
            logits = model(images)
        assert row["top1_pct"] == pytest.approx(5.0 * (logits.argmax(1) == shapes.test_labels).sum().item())
        assert row["loss_nats"] == pytest.approx(F.cross_entropy(logits, shapes.test_labels).item(), rel=1e-4)
    assert set(sweep["test_set"]) == {"test"}
    accuracy = sweep[sweep["metric"] == "top1_pct"]
    assert sorted(accuracy.loc[accuracy["is_trained"], "width_mult"]) == [0.25, 0.5, 0.75, 1.0]
    assert set(sweep["num_images"]) == {20}
    measured = read_record(path).measured
    area = pytest.approx(auc_pct(accuracy["width_mult"].tolist(), accuracy["score"].tolist()))
    assert measured["summaries"] == [{"test_set": "test", "metric": "top1_pct", "score": area}]
    assert (measured["min_width_mult"], measured["max_width_mult"]) == (0.25, 1.0)
    assert measured["num_widths"] == len(accuracy)
    assert measured["num_switches"] == (4 if name == S_NET else 1)
    assert all(low < high for low, high in pairwise(accuracy["width_mult"]))


def test_recalibration_keeps_the_weights_and_renews_the_statistics(finished):
    study, results = finished
    trained, _ = load_model(run_record(results, find_run(study, US_NET)).with_name("model.safetensors"))
    for points in (2, 3):
        path = results / "recalibrated" / US_NET / f"recal{points}" / "record.json"
        model, _ = load_model(recorded_file(path, "model.safetensors"))
        for name, value in trained.named_parameters():
            assert torch.equal(dict(model.named_parameters())[name], value)
        assert model.norm1.width_mults == ([0.25, 1.0] if points == 2 else [0.25, 0.625, 1.0])
        assert read_record(path).measured["recalibration_time_s"] > 0
        swept = results / sweep_of(study, f"{US_NET}/recal{points}").record
        sweep = read_table(swept.with_name("sweep.parquet"))
        assert set(sweep["switch_width_mult"]) == set(model.norm1.width_mults)
        assert set(sweep["label"]) == {f"US-Net({points}w)"}
        how = sweep[["recalibrated_widths", "averaging", "recalibration_images"]].drop_duplicates()
        assert how.to_numpy().tolist() == [[points, "exact", 40]]
        measured = read_record(swept).measured
        assert measured["num_switches"] == points
        assert measured["recalibration_time_s"] == read_record(path).measured["recalibration_time_s"]


def test_statistics_at_the_widths_of_the_sweep(study_data, shapes, tmp_path):
    """US-Nets, figure 3: statistics at .25 : .025 : 1; a method's own smallest width leaves out those below."""
    study_data["sweep"] = {"width_mults": [0.25, 0.4, 0.7, 1.0]}
    study_data["methods"] = {
        "us_net": {"recalibration": ["swept"]},
        "narrow": {"base": "us_net", "label": "x", "min_width_mult": 0.4, "recalibration": ["swept"]},
    }
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net", "narrow"]
    small = {"device": "cpu", "train": {"num_epochs": 1, "batch_size": 20}, "recalibration": {"num_images": 40}}
    study = parse_study(study_data | small)
    finish(study, shapes, tmp_path)
    for evaluation, widths in zip(evaluations(runs(study)), ([0.25, 0.4, 0.7, 1.0], [0.4, 0.7, 1.0]), strict=True):
        path = tmp_path / sweep_of(study, evaluation.name).record
        sweep = read_table(path.with_name("sweep.parquet"))
        assert sweep["width_mult"].drop_duplicates().tolist() == widths
        assert (sweep["switch_width_mult"] == sweep["width_mult"]).all()
        assert set(sweep["recalibrated_widths"]) == {len(widths)}
        assert evaluation.variant == "recal-swept"
    again = parse_study(study_data | small | {"sweep": {"width_mults": [0.25, 0.4, 1.0]}})
    one, other = (RecalibrateBN(some, evaluations(runs(some))[0]) for some in (study, again))
    assert one.settings != other.settings  # other widths, other statistics


def test_a_width_vector_becomes_the_channels_of_the_model(make_run, study_data, shapes, tmp_path):
    vector = {"conv1": 0.6, "conv2": 1.0, "conv3": 1.8}
    study_data["methods"] = {"optimised": {"base": "awn", "label": "x", "width_vector": vector}}
    run = make_run("optimised", num_epochs=1)
    job = TrainModel(parse_study({**study_data, "device": "cpu"}), run)
    shapes.save(tmp_path / job.data)
    do_job(job, tmp_path)
    record = tmp_path / job.record
    model, metadata = load_model(recorded_file(record, "model.safetensors"))
    expected = with_base_counts(run, shapes.image_shape, shapes.num_classes)
    assert {name: channels.full for name, channels in model.channels.items()} == expected.counts
    assert metadata == {"run": expected.model_dump()}
    assert read_record(record).cell == {"run": run.model_dump()}  # what the study asked for


def test_a_method_s_own_range_and_divisor_are_those_of_all_its_jobs(make_run, study_data, shapes, tmp_path):
    """US-Nets, figures 7 and 8."""
    own = {"min_width_mult": 0.4, "divisor": 4, "average_inputs": True, "recalibration": [3]}
    study_data["methods"] = {"mine": {"base": "us_net", "label": "x", **own}}
    run = make_run("mine", num_epochs=1)
    assert (run.widths, make_run("us_net").widths) == ([1.0, 0.75, 0.5, 0.4], [1.0, 0.75, 0.5, 0.25])
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["mine"]
    study = parse_study({**study_data, "device": "cpu", "recalibration": {"num_images": 40}})
    finish(study, shapes, tmp_path)
    (evaluation,) = evaluations(runs(study))
    model, _ = load_model((tmp_path / RecalibrateBN(study, evaluation).record).with_name("model.safetensors"))
    assert (model.min_width_mult, model.norm1.width_mults) == (0.4, [0.4, 0.7, 1.0])
    assert {channels.divisor for channels in model.channels.values()} == {4}
    assert model.conv2.average_inputs
    sweep = read_table(sweep_record(tmp_path, evaluation).with_name("sweep.parquet"))
    assert sweep["width_mult"].min() == 0.4
    assert set(sweep.loc[sweep["is_trained"], "width_mult"]) == {0.4, 1.0}
    drift = read_table(run_record(tmp_path, runs(study)[0]).with_name("bn_drift.parquet"))
    assert set(drift["width_mult"].dropna()) == {1.0, 0.75, 0.5, 0.4}


def test_a_sweep_of_named_widths_and_statistics_of_their_own(make_run, study_data, shapes, tmp_path):
    study_data["methods"] = {"us_net": {"recalibration": [3, 6]}}
    study_data["overrides"] = [{"method": "i_net", "widths": [1.0, 0.5]}]
    make_run("awn", num_epochs=1)
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["awn", "us_net", "i_net"]
    study_data |= {"device": "cpu", "recalibration": {"num_images": 40}}
    study_data["sweep"] = {"width_mults": {"start": 0.1, "stop": 1.0, "step": 0.15}}
    study = parse_study(study_data)
    finish(study, shapes, tmp_path)
    swept = {one.name: sweep_record(tmp_path, one).with_name("sweep.parquet") for one in evaluations(runs(study))}
    tables = {name.removeprefix("shapes/lenet_3c1l/"): read_table(path) for name, path in swept.items()}
    grid = [0.25, 0.4, 0.55, 0.7, 0.85, 1.0]  # of the networks that have a smallest width of 0.25
    for name in ("awn/seed0/as_trained", "us_net/seed0/recal3", "us_net/seed0/recal6"):
        assert tables[name]["width_mult"].drop_duplicates().tolist() == grid
        trained = set(tables[name].loc[tables[name]["is_trained"], "width_mult"])
        assert trained == {0.25, 1.0}
    own = tables["us_net/seed0/recal6"]
    assert own["switch_width_mult"].tolist() == own["width_mult"].tolist()
    assert set(tables["us_net/seed0/recal3"]["switch_width_mult"]) == {0.25, 0.625, 1.0}
    assert set(tables["i_net@0.5/seed0/as_trained"]["width_mult"]) == {0.5}


def test_widths_that_do_not_end_where_the_method_does_are_refused(make_run):
    run = make_run("us_net").model_dump()
    run["method_settings"]["min_width_mult"] = 0.4
    with pytest.raises(ConfigError, match=r"widths must end at the method's min_width_mult \(0.4\), found .*0.25"):
        parse(RunConfig, run)


def test_individual_network_is_swept_at_its_width(finished):
    study, results = finished
    job = sweep_of(study, "shapes/lenet_3c1l/i_net@0.5/seed0/as_trained")
    sweep = read_table((results / job.record).with_name("sweep.parquet"))
    assert sweep["width_mult"].tolist() == [0.5] * 2
    assert sweep["is_trained"].tolist() == [True] * 2
    drift = read_table(run_record(results, job.cell.run).with_name("bn_drift.parquet"))
    assert len(drift) == 0
    assert read_record(results / job.record).measured["summaries"][0]["score"] is None


def test_tables_say_where_they_come_from(finished):
    study, results = finished
    found = read_provenance(run_record(results, find_run(study, AWN)).with_name("history.parquet"))
    assert (found["study"], found["torch"]) == ("tiny", version("torch"))


def train_again(study, results, data=None):
    return do_job(TrainModel(study, find_run(study, AWN)), results, data=data)


def test_missing_images_are_a_failed_job_that_says_so(copied):
    study, results = copied
    record = train_again(study, results, data=results / "none.safetensors")
    assert record.state == "failed"
    assert "none.safetensors does not exist" in record.error
    assert record == read_record(run_record(results, find_run(study, AWN)))


def test_job_that_lost_its_record_trains_nothing_twice(copied, monkeypatch):
    study, results = copied
    model = run_record(results, find_run(study, AWN)).with_name("model.safetensors")
    expected, _ = load_model(model)
    run_record(results, find_run(study, AWN)).unlink()
    monkeypatch.setattr("awnlib.training.engine._Training._take_step", lambda *_: pytest.fail("a step was taken"))
    again = train_again(study, results)
    assert (again.state, again.measured["resumed"], again.measured["num_steps"]) == ("ok", 1, 10)
    found, _ = load_model(model)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in expected.state_dict().items())


def test_damaged_checkpoint_is_a_failed_job_that_says_so(copied):
    study, results = copied
    checkpoint = results / TrainModel(study, find_run(study, AWN)).checkpoint
    checkpoint.write_bytes(b"half of a checkpoint")
    record = train_again(study, results)
    assert record.state == "failed"
    assert f"{checkpoint} is damaged" in record.error


def test_model_that_changed_since_is_not_swept(copied):
    study, results = copied
    run = find_run(study, AWN)
    model = run_record(results, run).with_name("model.safetensors")
    model.write_bytes(model.read_bytes()[:-1] + b"\x01")
    record = do_job(sweep_of(study, f"{AWN}/as_trained"), results)
    assert record.state == "failed"
    assert f"{model} is missing or was changed" in record.error


def test_divergence_reaches_the_sweep(copied, make_run):
    study, results = copied
    run = make_run("awn", lr=1.0e30)
    assert run.name == AWN
    record = do_job(TrainModel(study, run), results)
    assert record.state == "diverged"
    assert "lower the learning rate" in record.error
    record = do_job(sweep_of(study, f"{AWN}/as_trained"), results)
    assert record.state == "diverged"
    assert "lower the learning rate" in record.error


def test_interruption_leaves_no_record(copied, monkeypatch):
    study, results = copied
    path = run_record(results, find_run(study, AWN))
    path.unlink()
    monkeypatch.setattr("awnlib.studies.widths.jobs.train", lambda *_, **__: signal())
    with pytest.raises(KeyboardInterrupt):
        train_again(study, results)
    assert not path.exists()


def signal():
    raise KeyboardInterrupt


def test_wrong_use(finished):
    study, _ = finished
    with pytest.raises(ValueError, match="needs no recalibration"):
        RecalibrateBN(study, sweep_of(study, f"{AWN}/as_trained").cell)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"'cuda' was asked for.*allowed here: auto, cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")


def test_foreign_file_in_place_of_the_model(copied):
    study, results = copied
    run = find_run(study, US_NET)
    save_tensors(run_record(results, run).with_name("model.safetensors"), {"a": torch.zeros(1)}, {})
    record = do_job(find_job(jobs(study), "recalibrate_bn", f"{US_NET}/recal2"), results)
    assert (record.state, record.files) == ("failed", {})
    assert "was changed" in record.error
