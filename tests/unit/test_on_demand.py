"""Tables of what is measured only where an exhibit is made from it, or the settings ask for it."""

import dataclasses

import pytest

from awnlib.channels import evenly_spaced
from awnlib.evaluation.residual import residual_errors
from awnlib.jobs.records import read_record, recorded_file, write_record
from awnlib.models import load_model
from awnlib.report.widths import contents
from awnlib.results.columns import COLLECTED
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.widths.cells import find_run
from awnlib.studies.widths.collect import collect, residuals_record, run_record
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import jobs
from awnlib.tasks import create_task
from awnlib.training.engine import train
from tests.conftest import STUDY, finish

RUN, AWN = (f"shapes/lenet_3c1l/{method}/seed0" for method in ("us_net", "awn"))
PANELS = [{"model": "lenet_3c1l", "dataset": "shapes"}]
DATA = {
    **STUDY,
    "device": "cpu",
    "train": {"num_epochs": 1, "batch_size": 20, "lr": 0.05},
    "methods": {"us_net": {"recalibration": [2]}},
    "recalibration": {"num_images": 40},
    "overrides": [{"method": "i_net", "widths": [1.0, 0.5]}, {"method": "awn", "track": {"gradients": 2}}],
    "exhibits": {
        "us_nets.inequality3": {"panels": PANELS, "methods": ["us_net", "i_net"]},
        "any_width_networks.table2": {"panels": PANELS, "methods": ["awn"]},
    },
}


@pytest.fixture(scope="module")
def done(shapes, tmp_path_factory):
    """A study with an exhibit that needs such a table, and one that does not: (study, results folder)."""
    study, results = parse_study(DATA), tmp_path_factory.mktemp("on_demand")
    finish(study, shapes, results)
    collect(study, results, results / "tables")
    return study, results


def test_only_runs_of_several_widths_that_an_exhibit_shows_are_measured(done):
    study, results = done
    assert list(jobs(study)["measure_residuals"]) == [RUN]
    assert len(jobs(study)["train_model"]) == 4
    record = read_record(residuals_record(results, find_run(study, RUN)))
    assert (record.stage, record.state) == ("measure_residuals", "ok")
    assert record.measured["measuring_time_s"] > 0


def test_a_study_without_such_an_exhibit_has_neither_job_nor_table(study_data):
    study = parse_study(study_data)
    assert jobs(study)["measure_residuals"] == {}
    assert study.on_demand == []
    assert study.collected == [f"{name}.parquet" for name in COLLECTED]


def test_residuals_are_those_of_the_trained_model(done, shapes):
    study, results = done
    table = read_table(results / "tables/residuals.parquet")
    assert read_provenance(results / "tables/residuals.parquet")["study"] == "tiny"
    model, _ = load_model(recorded_file(run_record(results, find_run(study, RUN)), "model.safetensors"))
    inputs = create_task(data=shapes).training_inputs(512, 128, 0)
    widths = sorted({*evenly_spaced(0.25, 1.0, 16), 0.5, 0.75})
    expected = residual_errors(model, inputs, widths)
    assert table["layer"].tolist() == [row["layer"] for row in expected]
    assert table["residual"].tolist() == pytest.approx([row["residual"] for row in expected], rel=1e-5)
    assert set(table["label"]) == {"US-Net"}
    assert {0.25, 0.5, 0.75, 1.0} <= set(table["width_mult"])


def test_gradients_are_those_of_the_runs_that_compare_them(done, shapes):
    study, results = done
    assert study.on_demand == ["gradients", "residuals"]
    table = read_table(results / "tables/gradients.parquet")
    assert read_provenance(results / "tables/gradients.parquet")["study"] == "tiny"
    assert set(table["label"]) == {"AWN"}
    expected = train(find_run(study, AWN), shapes).gradients
    assert table["step"].tolist() == [row["step"] for row in expected]
    assert table["norm"].tolist() == pytest.approx([row["norm"] for row in expected], rel=1e-3)
    assert table["cosine"].isna().tolist() == [row["other_width_mult"] is None for row in expected]
    assert "gradients.parquet" not in read_record(run_record(results, find_run(study, RUN))).files


def test_what_is_published_has_them_and_their_records(done):
    study, results = done
    found = contents(study, results)
    assert {"gradients", "residuals"} <= set(found.tables)
    assert residuals_record(results, find_run(study, RUN)) in found.records
    assert all(path.is_file() for path in found.records)


def test_a_failed_job_is_a_hole(done, tmp_path):
    study, results = done
    path = residuals_record(results, find_run(study, RUN))
    record = read_record(path)
    write_record(path, dataclasses.replace(record, state="failed", error="why"))
    try:
        collect(study, results, tmp_path)
        assert len(read_table(tmp_path / "residuals.parquet")) == 0
    finally:
        write_record(path, record)
