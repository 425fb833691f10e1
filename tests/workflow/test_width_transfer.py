"""configs/width_transfer_ci.yaml from end to end, and what changes of its configuration would do again."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml

import awnlib
from awnlib.jobs.records import read_record
from awnlib.results.columns import TABLES
from awnlib.results.schemas import read_table
from awnlib.studies.transfer.config import parse_transfer_study

FIGURES = [f"width_transfer.figure{name}" for name in ("3", "4", "_a1", "_a2")]
AFTER = {"collect_results": 1, "draw_figure": 4, "report": 1, "check_study": 1, "all": 1}


@pytest.fixture(scope="module")
def transfer_study(repository):
    """Plain data of configs/width_transfer_ci.yaml."""
    return yaml.safe_load((repository / "configs" / "width_transfer_ci.yaml").read_text())


@pytest.fixture(scope="module")
def transfer_workflow(make_workflow, transfer_study):
    """The study of configs/width_transfer_ci.yaml, run from end to end: one to two minutes."""
    workflow = make_workflow("transfer")
    workflow.configure(transfer_study)
    code, output = workflow.call(timeout=1800)
    assert code == 0, output
    return workflow


@pytest.fixture
def results(transfer_workflow):
    return transfer_workflow.results("width_transfer_ci")


@pytest.fixture
def study(transfer_study):
    return copy.deepcopy(transfer_study)


def test_the_plan_of_a_new_study(workflow, study):
    """A width axis of three optimisers and two sources, and a stacking axis that shares one search with it."""
    assert workflow.planned(study) == {
        "prepare_data": 1,
        "search_widths": 4 * 2 + 1,
        "transfer_widths": 4 * 2 + 3,
        "train_transferred": 4 * 2 + 3 + 2,
        **AFTER,
    }


def test_every_cell_has_its_record(results, transfer_study):
    study = parse_transfer_study(transfer_study)
    folders = [f"searches/{name}" for name in study.searches()]
    folders += [f"retrained/{name}" for name in study.retrainings()]
    folders += [f"transferred/{name}" for name, cell in study.retrainings().items() if cell.search is not None]
    assert {read_record(results / folder / "record.json").state for folder in folders} == {"ok"}
    assert len(list(results.rglob("record.json"))) == len(folders) == 33
    assert json.loads((results / "complete.json").read_text()) == {"jobs": 33}
    assert not list(results.rglob("*.tmp"))
    assert not [path for path in (results / "checkpoints").rglob("*") if path.is_file()]


def test_tables_figures_and_report_are_there(results):
    for name in ("transfer", "widths", "similarity"):
        assert list(read_table(results / "tables" / f"{name}.parquet").columns) == TABLES[name].names
        assert (results / "tables" / f"{name}.csv").exists()
        assert (results / "tables" / f"{name}.md").exists()
    for name in FIGURES:
        assert (results / "figures" / f"{name}.png").stat().st_size > 10_000
        assert (results / "figures" / f"{name}.svg").exists()
    page = (results / "report.html").read_text()
    assert "Every search and retraining succeeded." in page
    assert page.count("data:image/svg+xml") == len(FIGURES)
    assert parse_transfer_study(yaml.safe_load((results / "study.yaml").read_text())).study == "width_transfer_ci"


def test_networks_cost_what_the_target_costs_and_searches_what_they_save(results):
    table = read_table(results / "tables" / "transfer.parquet")
    assert ((table["macs"] / table["target_macs"] - 1).abs() <= 0.01).all()
    cheap = table[~table["optimizer"].isin(["uniform", "dmcp_null"]) & ~table["is_direct"]]
    assert len(cheap) == 3 + 2
    assert (cheap["overhead_factor"] > 1.5).all()
    assert (table.loc[table["optimizer"] == "dmcp_null", "search_macs"] == 0).all()
    assert set(cheap.loc[cheap["kind"] == "stacking", "extrapolation"]) == {"average_block", "last_block"}


def test_nothing_is_done_twice(transfer_workflow, study):
    transfer_workflow.configure(study)
    code, output = transfer_workflow.call()
    assert code == 0
    assert "Nothing to be done" in output


def test_settings_in_another_order_search_nothing(transfer_workflow, study):
    search = dict(sorted(study["transfer"]["search"].items(), reverse=True))
    study = yaml.safe_load(yaml.safe_dump(study))  # sorted, as the study that was run
    study["transfer"]["search"] = search
    (transfer_workflow.folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    code, output = transfer_workflow.call("--dry-run")
    assert code == 0
    assert "search_widths" not in output


def test_retraining_longer_searches_nothing(transfer_workflow, study):
    study["transfer"]["train"]["num_epochs"] = 2
    planned = transfer_workflow.planned(study)
    assert planned == {"train_transferred": 13, **AFTER}


def test_another_search_of_one_optimiser(transfer_workflow, study):
    study["transfer"]["optimizers"]["autoslim"]["settings"]["bins"] = 5
    planned = transfer_workflow.planned(study)
    assert planned == {"search_widths": 2, "transfer_widths": 2, "train_transferred": 2, **AFTER}


def test_a_source_more(transfer_workflow, study):
    study["transfer"]["axes"]["width"]["sources"].append({"width_mult": 0.1})
    planned = transfer_workflow.planned(study)
    assert planned == {"search_widths": 4, "transfer_widths": 4, "train_transferred": 4, **AFTER}


def test_words(transfer_workflow, study):
    study["description"] = "Other words."
    assert transfer_workflow.planned(study) == {"report": 1, "check_study": 1, "all": 1}


EDITS = {
    "job of searches": ("studies/transfer/jobs.py", '"num_images": len', '"num_images": 1 * len', "search_widths"),
    "job of transfers": ("studies/transfer/jobs.py", '"alpha": match', '"alpha": 1 * match', "transfer_widths"),
    "job of retrainings": ("studies/transfer/jobs.py", "TEST_BATCH = 250", "TEST_BATCH = 25", "train_transferred"),
    "an optimiser": ("width_transfer/dmcp.py", "def budget_loss(", "def budget_loss(_=None, *", "search_widths"),
    "engine of training": (
        "training/objectives.py",
        "def loss_weights(",
        "def loss_weights(_=None, *",
        "train_transferred",
    ),
    "figures": ("papers/width_transfer/drawing.py", "MAX_COLUMNS = 3", "MAX_COLUMNS = 2", "draw_figure"),
    "words of progress": ("jobs/progress.py", "{self.title}: ", "{self.title} is at ", None),
    "another model": ("models/lenet_3c1l.py", "def _pooled(", "def _pooled(_=None, *", None),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_does_again_what_reaches_it_and_what_follows(transfer_workflow, study, tmp_path, monkeypatch, edit):
    file, old, new, first = EDITS[edit]
    package = shutil.copytree(Path(awnlib.__file__).parent, tmp_path / "awnlib")
    text = (package / file).read_text()
    assert text.count(old) == 1
    (package / file).write_text(text.replace(old, new))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    planned = set(transfer_workflow.planned(study))
    stages = ["search_widths", "transfer_widths", "train_transferred", "collect_results", "draw_figure"]
    following = [] if first is None else [*stages[stages.index(first) :], "report", "check_study", "all"]
    assert planned == set(following)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"model": "lenet_3c1l"}, "lenet_3c1l has no blocks to repeat"),
        ({"dataset": "mnist"}, "transfer.axes.stacking.dataset: unknown name 'mnist' (allowed: mnist5k)"),
    ],
)
def test_wrong_configuration_is_refused_at_once(workflow, study, axis, words):
    study["transfer"]["axes"]["stacking"] |= axis
    workflow.configure(study)
    code, output = workflow.call()
    assert code == 1
    assert words in output
    assert "Traceback" not in output
    assert not workflow.results("width_transfer_ci").exists()
