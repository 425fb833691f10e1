"""docs/extending.md, followed to the letter."""

import json
import re
import shutil
import subprocess
import sys

import pytest

SUITES = ("tests/unit/test_models_conform.py", "tests/unit/test_saving.py")
CHECK = """
import json
from pathlib import Path

import torch
from awnlib.studies.widths.config import load_study
from awnlib.data import evaluation_batches, prepare_dataset
from awnlib.deploy.extract import extract
from awnlib.studies.widths.cells import runs
from awnlib.evaluation.sweep import sweep_widths
from awnlib.training.engine import train

torch.set_num_threads(1)
study = load_study("extended.yaml")
data = prepare_dataset("stripes", study.datasets["stripes"], Path("nowhere"))
cpu = torch.device("cpu")
batches = list(evaluation_batches(data.test_images, data.test_labels, data.mean, data.std, 50, cpu))
found = {}
for run in runs(study):
    model = train(run, data).model
    accuracy = [row["score"] for row in sweep_widths(model, batches) if row["metric"] == "top1_pct"]
    model.set_width_mult(0.5)
    images = batches[0][0]
    difference = (extract(model, 0.5)(images) - model(images)).abs().max()
    found[run.method] = {"accuracy": accuracy, "difference": float(difference)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def extended(repository, tmp_path_factory):
    """A copy of the package and its tests with the page's files in their places."""
    folder = tmp_path_factory.mktemp("extended")
    for part in ("awnlib", "tests"):
        shutil.copytree(repository / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", folder)
    page = (repository / "docs/extending.md").read_text()
    files = dict(re.findall(r"^`(awnlib/\S+\.py)`:\n\n```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert sorted(files) == ["awnlib/data/sources/stripes.py", "awnlib/models/tiny_resnet.py"]
    for path, text in files.items():
        (folder / path).write_text(text)
    (study,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (folder / "extended.yaml").write_text(study)
    return folder


def test_a_network_needs_no_file(repository, tmp_path):
    page = (repository / "docs/extending.md").read_text()
    (block,) = re.findall(r"^```python\n(import torch.*?)^```", page, re.MULTILINE | re.DOTALL)
    result = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    connections = 9 * 8 + 9 * sum(range(1, 9))  # 8 rows read an image, 1 to 8 channels
    assert (result.stdout, result.stderr) == (f"{16 * 16 * connections + 2 * 8} 13\n", "")


def test_the_new_model_learns_the_new_data_set(extended):
    result = subprocess.run([sys.executable, "-c", CHECK], cwd=extended, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert sorted(found) == ["awn", "awn_rs_6"]
    for method in found.values():
        assert len(method["accuracy"]) == 18  # 6 to 23 channels
        assert method["accuracy"][-1] > 90
        assert method["difference"] < 1e-5


def test_the_new_model_keeps_what_every_model_promises(extended):
    """The suites of all models find it by its file: most of their tests run, as for any other model."""
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITES, "-k", "tiny_resnet"]
    result = subprocess.run(call, cwd=extended, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) > 50


def test_the_files_pass_the_checks_of_the_project(extended):
    for command in (["check"], ["format", "--check"]):
        files = ["awnlib/models/tiny_resnet.py", "awnlib/data/sources/stripes.py"]
        call = [sys.executable, "-m", "ruff", *command, *files]
        result = subprocess.run(call, cwd=extended, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout
