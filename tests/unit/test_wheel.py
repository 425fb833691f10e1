"""The wheels: they hold every file of their packages, and awnlib's works where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

import awnlib

PLUGIN = "plugins/snakemake-executor-plugin-submitit"
SOURCES = ["awnlib", "src", "pyproject.toml", "README.md", "LICENSE"]
STUDY = """
study: outside
seeds: [0]
datasets:
  shapes: {source: mnist5k}
train: {num_epochs: 1, batch_size: 20}
exhibits:
  any_width_networks.table2:
    panels: [{model: lenet_3c1l, dataset: shapes}]
    methods: [awn]
"""
OUTSIDE = """
import json
from pathlib import Path

import torch
import awnlib
from awnlib import load_dataset, load_study, model_names, runs, sweep_widths, train
from awnlib.data import evaluation_batches
from awnlib.report.results_page import write_page

torch.set_num_threads(1)
(run,) = runs(load_study("study.yaml"))
data = load_dataset("images.safetensors")
batches = evaluation_batches(data.test_images, data.test_labels, data.mean, data.std, 20, torch.device("cpu"))
swept = {row["width_mult"] for row in sweep_widths(train(run, data).model, batches)}
write_page(Path("results"))
found = {"file": awnlib.__file__, "version": awnlib.__version__, "models": model_names(), "num_widths": len(swept)}
print(json.dumps(found))
"""


def build_wheel(project, folder):
    """Return the wheel of a project, built in a copy of what git has or would add, and the names of these files."""
    command = ["git", "-C", project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SOURCES]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    names = [name for name in listed if (project / name).is_file()]
    for name in names:
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / name, folder / "source" / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder / "wheels", folder / "source")
    (wheel,) = (folder / "wheels").iterdir()
    return wheel, names


def pip(command, *arguments):
    call = [sys.executable, "-m", "pip", command, "--quiet", "--no-index", "--no-deps", *arguments]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    return build_wheel(repository, tmp_path_factory.mktemp("awnlib"))


@pytest.fixture(scope="module")
def plugin_wheel(repository, tmp_path_factory):
    return build_wheel(repository / PLUGIN, tmp_path_factory.mktemp("plugin"))


@pytest.mark.parametrize(("built", "root"), [("wheel", "awnlib/"), ("plugin_wheel", "src/")])
def test_a_wheel_holds_every_file_of_its_package(built, root, request):
    path, names = request.getfixturevalue(built)
    package = {name.removeprefix("src/") for name in names if name.startswith(root)}
    assert len(package) > 5
    assert {name for name in ZipFile(path).namelist() if ".dist-info/" not in name} == package


def test_a_study_runs_where_there_is_no_checkout(wheel, shapes, repository, tmp_path):
    pip("install", "--target", tmp_path / "site", wheel[0])
    outside = tmp_path / "outside"
    shutil.copytree(repository / "docs/results", outside / "results")
    (outside / "results" / "README.md").unlink()
    shapes.save(outside / "images.safetensors")
    (outside / "study.yaml").write_text(STUDY, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    call = [sys.executable, "-c", OUTSIDE]
    done = subprocess.run(call, cwd=outside, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["file"]).is_relative_to(tmp_path / "site")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found["version"] == project["version"]
    assert found["models"] == awnlib.model_names()
    assert found["num_widths"] == 35
    page = (outside / "results/README.md").read_text(encoding="utf-8")
    assert page == (repository / "docs/results/README.md").read_text(encoding="utf-8")
