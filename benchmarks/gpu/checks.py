"""The library's tests on this machine: those that need the device, and those of what is measured later."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from awnlib.files import atomic_path
from awnlib.jobs.provenance import provenance
from benchmarks.gpu import INCOMPLETE
from benchmarks.gpu.settings import Settings

REPOSITORY = Path(__file__).parents[2]
UNIT = Path("tests/unit")
FILES = ("one_pass", "train", "resumable", "sweep", "extract", "anytime", "recalibrate", "batches")
MARK = "pytest.mark.cuda"
# Newer versions of packages warn of other things, and a package that is missing must not stop the other files.
OPTIONS = ("-q", "-p", "no:cacheprovider", "-W", "default", "--continue-on-collection-errors")


def run(name: str, settings: Settings, folder: Path) -> int:
    """Call pytest for each group of tests that has not passed yet; return the exit status of the part."""
    if find_spec("pytest") is None:
        print("pytest is not installed: nothing was checked")
        return INCOMPLETE
    file = folder / "checks.json"
    done: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, arguments in _groups(settings).items():
        if done.get(name, {}).get("status") != 0:
            done[name] = _call(arguments)
            with atomic_path(file) as temporary:
                temporary.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    return int(any(group["status"] for group in done.values()))


def _groups(settings: Settings) -> dict[str, list[str]]:
    """Return the arguments of pytest for each group of tests: a file, so that a call that was stopped goes on."""
    if settings.tiny:
        return {"test_auc": [str(UNIT / "test_auc.py")]}
    unit = {f"test_{name}": [str(UNIT / f"test_{name}.py")] for name in FILES}
    if settings.device == "cpu":
        return unit
    files = [
        path for path in sorted((REPOSITORY / UNIT).rglob("test_*.py")) if MARK in path.read_text(encoding="utf-8")
    ]
    return {f"{path.stem} on the GPU": ["-m", "cuda", str(path.relative_to(REPOSITORY))] for path in files} | unit


def _call(arguments: list[str]) -> dict[str, Any]:
    command, started = [sys.executable, "-m", "pytest", *OPTIONS, *arguments], time.monotonic()
    result = subprocess.run(
        command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8"
    )
    print(result.stdout, result.stderr, flush=True)
    last = (result.stdout.strip().splitlines() or [""])[-1]
    seconds = round(time.monotonic() - started, 1)
    return {"status": result.returncode, "result": last, "wall_s": seconds, "provenance": provenance()}
