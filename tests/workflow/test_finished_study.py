"""configs/ci.yaml from end to end, and what changes of its configuration would do again."""

import copy
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from awnlib.jobs.records import read_record
from awnlib.results.columns import COLLECTED, TABLES
from awnlib.results.schemas import read_provenance, read_table
from awnlib.studies.widths.cells import evaluations, runs
from awnlib.studies.widths.config import parse_study

FIGURES = [f"any_width_networks.figure{name}" for name in ("2", "4", "5", "5_macs", "6")]
MADE = ["any_width_networks.table1", "any_width_networks.table2"]
AFTER = {"collect_results": 1, "report": 1, "check_study": 1, "all": 1}
DRAWN = {"draw_figure": 5, "make_table": 2}


@pytest.fixture
def results(finished_workflow):
    return finished_workflow.results("ci")


@pytest.fixture
def study(ci_study):
    return copy.deepcopy(ci_study)


# --- what there is ---------------------------------------------------------------------------------------------------


def test_every_cell_has_its_record_and_every_job_its_log(results, ci_study):
    run_table = runs(parse_study(ci_study))
    sweeps = evaluations(run_table)
    assert (len(run_table), len(sweeps)) == (6 + 4, 5 + 3 + 4)  # i_net: four widths; us_net: three recalibrations
    recalibrated = [f"recalibrated/{one.name}" for one in sweeps if one.variant != "as_trained"]
    folders = [f"runs/{run.name}" for run in run_table] + [f"sweeps/{one.name}" for one in sweeps] + recalibrated
    assert {read_record(results / folder / "record.json").state for folder in folders} == {"ok"}
    assert len(list(results.rglob("record.json"))) == len(folders)
    logs = {str(path.relative_to(results / "logs")) for path in results.rglob("*.log")}
    expected = {f"train_model/{run.name}.log" for run in run_table} | {f"sweep_widths/{one.name}.log" for one in sweeps}
    expected |= {f"recalibrate_bn/{name.removeprefix('recalibrated/')}.log" for name in recalibrated}
    expected |= {f"draw_figure/{name}.log" for name in FIGURES} | {f"make_table/{name}.log" for name in MADE}
    expected |= {f"{name}.log" for name in ("collect_results", "report", "check_study")}
    assert logs == expected | {"prepare_data/mnist5k.log"}


def test_nothing_is_left_over(results):
    assert json.loads((results / "complete.json").read_text()) == {"jobs": 25}
    assert not list(results.rglob("*.tmp"))
    assert not [path for path in (results / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", [*COLLECTED, *MADE])
def test_tables_have_the_documented_columns(results, name):
    table = read_table(results / "tables" / f"{name}.parquet")
    assert list(table.columns) == TABLES["exhibit" if name in MADE else name].names
    assert len(table)
    assert read_provenance(results / "tables" / f"{name}.parquet")["study"] == "ci"


@pytest.mark.parametrize("name", MADE)
def test_the_paper_s_tables_come_for_readers_and_spreadsheets(results, name):
    table = read_table(results / "tables" / f"{name}.parquet")
    csv = pd.read_csv(results / "tables" / f"{name}.csv", comment="#")
    assert list(csv.columns) == list(table.columns)
    assert csv["score"].tolist() == pytest.approx(table["score"].tolist(), rel=1e-9)
    markdown = (results / "tables" / f"{name}.md").read_text()
    for row in table.itertuples():
        assert f"{row.score:.2f}" in markdown
        assert row.label in markdown


def test_numbers_of_table2_are_those_of_the_sweeps(results):
    """The area under the measured curve, computed once more from the raw table."""
    sweep = read_table(results / "tables" / "sweep.parquet")
    for row in read_table(results / "tables" / f"{MADE[1]}.parquet").itertuples():
        curve = sweep[
            (sweep["metric"] == row.metric) & (sweep["method"] == row.method) & (sweep["variant"] == row.variant)
        ].sort_values("width_mult")
        area = np.trapezoid(curve["score"], curve["width_mult"]) / 0.75
        assert row.score == pytest.approx(area)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_images(results, name):
    with Image.open(results / "figures" / f"{name}.png") as image:
        assert min(image.size) > 300
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    root = ET.parse(results / "figures" / f"{name}.svg").getroot()
    assert root.tag.endswith("svg")
    assert len(list(root.iter())) > 50


class Resources(HTMLParser):
    """Collects what a page would load: images, scripts, style sheets, frames."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [values[key] for key in ("src", "srcset", "poster", "data") if values.get(key)]
        if tag in ("link", "image", "use") and values.get("href", values.get("xlink:href")):
            self.found.append(values.get("href", values.get("xlink:href")))


def test_report_is_one_file_that_loads_nothing(results):
    text = (results / "report.html").read_text()
    page = Resources()
    page.feed(text)
    assert [value[:40] for value in page.found if not value.startswith(("data:", "#"))] == []
    assert "@import" not in text
    for label in ("AWN", "S-Net", "US-Net(10w)", "Standard BN"):
        assert label in text


# --- what would be done again ----------------------------------------------------------------------------------------


def test_nothing_is_done_twice(finished_workflow, study):
    finished_workflow.configure(study)
    code, output = finished_workflow.call()
    assert code == 0
    assert "Nothing to be done" in output


def test_one_method_s_epochs(finished_workflow, study):
    study["overrides"] = [{"method": "us_net", "train": {"num_epochs": 2}}]
    expected = {"train_model": 1, "recalibrate_bn": 3, "sweep_widths": 3, **DRAWN, **AFTER}
    assert finished_workflow.planned(study) == expected


def test_a_new_seed(finished_workflow, study):
    study["seeds"] = [0, 1]
    expected = {"train_model": 10, "recalibrate_bn": 3, "sweep_widths": 12, **DRAWN, **AFTER}
    assert finished_workflow.planned(study) == expected


def test_a_label(finished_workflow, study):
    study["methods"] = {"awn": {"label": "Any width"}}
    assert finished_workflow.planned(study) == {**DRAWN, **AFTER}


def test_a_recalibration_point(finished_workflow, study):
    study["methods"] = {"us_net": {"recalibration": [4, 10, 20, 7]}}
    expected = {"recalibrate_bn": 1, "sweep_widths": 1, **DRAWN, **AFTER}
    assert finished_workflow.planned(study) == expected


def test_fewer_recalibration_points(finished_workflow, study):
    study["methods"] = {"us_net": {"recalibration": [4]}}
    planned = finished_workflow.planned(study)
    assert planned.keys().isdisjoint({"train_model", "recalibrate_bn", "sweep_widths"})
    assert planned["collect_results"] == 1


def test_how_bn_is_recalibrated(finished_workflow, study):
    study["recalibration"]["num_images"] = 50
    assert finished_workflow.planned(study) == {"recalibrate_bn": 3, "sweep_widths": 3, **DRAWN, **AFTER}


def test_the_panels_of_a_table(finished_workflow, study):
    """One method less in one table: that table, the report, and nothing that takes time."""
    study["exhibits"][MADE[1]]["methods"].remove("s_net")
    assert finished_workflow.planned(study) == {"make_table": 1, "report": 1, "check_study": 1, "all": 1}


def test_words(finished_workflow, study):
    study["description"] = "Other words."
    assert finished_workflow.planned(study) == {"report": 1, "check_study": 1, "all": 1}


def test_how_images_are_swept_changes_no_result(finished_workflow, study):
    study["sweep"] = {"batch_size": 100}
    assert finished_workflow.planned(study).keys() <= {"report", "check_study", "all"}


def test_other_images(finished_workflow, study):
    """What they do again follows from their content, which is known when they are prepared (test_stale.py)."""
    study["datasets"]["mnist5k"]["train_size"] = 300
    planned = finished_workflow.planned(study)
    assert planned["prepare_data"] == 1
    assert planned.keys() <= {"prepare_data", "report", "check_study", "all"}
