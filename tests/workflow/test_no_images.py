"""A study whose task makes its own batches: without images, from its first job to its report."""

import os
import shutil
from pathlib import Path

import pytest

import awnlib
from awnlib.jobs.records import read_record
from awnlib.results.schemas import read_table

TOYS = {"tasks": ("wandering", "_wandering_settings"), "models": ("bare",)}
SHOWN = {"panels": [{"model": "bare", "dataset": "games", "test_set": "games"}], "methods": ["awn"]}
STUDY = {
    "study": "games",
    "seeds": [0],
    "device": "cpu",
    "task": "wandering",
    "task_settings": {"steps": 4},
    "widths": [1.0, 0.5],
    "train": {"num_epochs": 1, "batch_size": 5, "lr": 0.05},
    "exhibits": {f"any_width_networks.{name}": SHOWN for name in ("table1", "figure5")},
}


@pytest.fixture
def environment(tmp_path_factory):
    """The variables of a package that has the task and a network for it."""
    package = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(awnlib.__file__).parent, package / "awnlib", ignore=ignored)
    for room, files in TOYS.items():
        for file in files:
            shutil.copy(Path(__file__).parents[1] / "toys" / f"{file}.py", package / "awnlib" / room)
    return {**os.environ, "PYTHONPATH": str(package)}


def call(workflow, environment, *arguments):
    with workflow.start(*arguments, env=environment) as process:
        output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


def test_a_study_without_a_data_set_is_made_from_end_to_end(workflow, environment):
    workflow.configure(STUDY)
    call(workflow, environment)
    results = workflow.results("games")
    assert read_record(results / "runs/games/bare/awn/seed0/record.json").state == "ok"
    assert not (results / "data").exists()
    table = read_table(results / "tables/any_width_networks.table1.parquet")
    played = table[table["test_set"] == "games"]
    assert played["width_mult"].tolist() == [1.0, 0.5]
    assert set(played["metric"]) == {"mean_return"}
    assert played["score"].notna().all()
    assert "mean return" in (results / "figures/any_width_networks.figure5.svg").read_text()
    assert "Nothing to be done" in call(workflow, environment, "--dry-run")
