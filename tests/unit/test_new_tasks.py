"""Two tasks unlike classification, as files that are dropped into their places: they keep what every task promises."""

import json
import re
import shutil
import subprocess
import sys

import pytest

FILES = {
    "denoising": {"tasks": ["denoising", "_denoising_settings"], "models": ["plain_filter"]},
    "wandering": {"tasks": ["wandering", "_wandering_settings"], "models": ["bare"]},
}
CASES = {
    "denoising": {"model": "plain_filter", "data": "shapes", "settings": {"noise": 0.2}},
    "wandering": {"model": "bare", "data": None, "settings": {"steps": 4}},
}
METHODS = ["awn", "awn_rs", "s_net", "us_net"]


@pytest.fixture(scope="module")
def extended(repository, tmp_path_factory):
    """A copy of the package and its tests with both tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    for part in ("awnlib", "tests"):
        shutil.copytree(repository / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", folder)
    for name, rooms in FILES.items():
        for room, files in rooms.items():
            for file in files:
                shutil.copy(repository / "tests/toys" / f"{file}.py", folder / "awnlib" / room)
        case = json.dumps(CASES[name] | {"methods": METHODS})
        (folder / "tests/tasks" / f"{name}.json").write_text(case)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_new_task_keeps_what_every_task_promises(extended, name):
    call = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/unit/test_tasks_conform.py",
        "-k",
        name,
    ]
    result = subprocess.run(call, cwd=extended, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) > 20
