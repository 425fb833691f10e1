"""A task that makes its own batches, as files that are dropped into their places: it keeps what every task promises.

Another one, supervised and without labels, is in docs/extending.md.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest

FILES = {"tasks": ["wandering", "_wandering_settings"], "models": ["bare"]}
CASE = {"model": "bare", "data": None, "settings": {"steps": 4}, "methods": ["awn", "awn_rs", "s_net", "us_net"]}
SUITE = "tests/unit/test_tasks_conform.py"


@pytest.fixture(scope="module")
def extended(repository, tmp_path_factory):
    """A copy of the package and its tests with the task."""
    folder = tmp_path_factory.mktemp("tasks")
    for part in ("awnlib", "tests"):
        shutil.copytree(repository / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", folder)
    for room, files in FILES.items():
        for file in files:
            shutil.copy(repository / "tests/toys" / f"{file}.py", folder / "awnlib" / room)
    (folder / "tests/tasks/wandering.json").write_text(json.dumps(CASE))
    return folder


def test_a_new_task_keeps_what_every_task_promises(extended):
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE, "-k", "wandering"]
    result = subprocess.run(call, cwd=extended, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) > 20
