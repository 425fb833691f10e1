"""Calling snakemake in a copy of the workflow, so that results stay out of the repository."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

COPIED = ("Snakefile", "config.yaml", "configs", "profiles", "workflow")
TABLE = "any_width_networks.table2"


@dataclass(frozen=True)
class Workflow:
    """A folder to run snakemake in."""

    folder: Path

    def results(self, study):
        return self.folder / "results" / study

    def configure(self, data):
        """Write `study.yaml`, which every later call reads."""
        (self.folder / "study.yaml").write_text(yaml.safe_dump(data))

    def start(self, *arguments, **options):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml", *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, **streams, **options)

    def call(self, *arguments, timeout=900):
        """Return the exit code and all that snakemake printed."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=timeout)
        return process.returncode, output

    def planned(self, data):
        """Return the number of jobs of each rule that a dry-run with this configuration announces."""
        self.configure(data)
        code, output = self.call("--dry-run")
        assert code == 0, output
        if "Nothing to be done" in output:
            return {}
        table = output.split("Job stats:")[1].split("\ntotal")[0]
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def create_workflow(repository, folder):
    for name in COPIED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    return Workflow(folder)


@pytest.fixture
def workflow(repository, tmp_path):
    return create_workflow(repository, tmp_path)


@pytest.fixture(scope="session")
def make_workflow(repository, tmp_path_factory):
    """Return a function that gives a new copy of the workflow, for tests that share one."""
    return lambda name: create_workflow(repository, tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def ci_study(repository):
    """Plain data of configs/ci.yaml."""
    return yaml.safe_load((repository / "configs" / "ci.yaml").read_text())


@pytest.fixture(scope="session")
def finished_workflow(repository, tmp_path_factory, ci_study):
    """The study of configs/ci.yaml, run from end to end: about a minute."""
    workflow = create_workflow(repository, tmp_path_factory.mktemp("workflow"))
    workflow.configure(ci_study)
    code, output = workflow.call()
    assert code == 0, output
    return workflow


def small_study(name, *methods, **changes):
    """Return a study of one table on a hundred digits; a job takes about a second."""
    exhibit = {"panels": [{"model": "lenet_3c1l", "dataset": "digits"}], "methods": list(methods)}
    return {
        "study": name,
        "seeds": [0],
        "datasets": {"digits": {"source": "mnist5k", "train_size": 100, "test_size": 50}},
        "train": {"num_epochs": 1, "batch_size": 20, "lr": 0.05},
        "recalibration": {"num_images": 40},
        "exhibits": {TABLE: exhibit},
        **changes,
    }


@pytest.fixture(scope="session")
def make_study():
    return small_study
