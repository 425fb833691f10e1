"""Where a number comes from: versions, source commit, platform and time, as plain text.

Every table and report carries it. It names the kind of machine, never the machine or its user.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import awnlib

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pyarrow", "snakemake")


def provenance(**extra: str) -> dict[str, str]:
    """Describe the software and the kind of machine that makes a result.

    Parameters
    ----------
    extra
        Entries to add, the study's name say; they win over entries of the same name.

    Returns
    -------
    dict
        ``awnlib``, ``commit`` and ``changes`` ("yes", "no"; both empty outside a checkout), ``python``, the versions
        of ``PACKAGES`` (empty if not installed), ``platform``, ``cpu``, ``num_cpus`` and ``created`` (UTC, ISO 8601).
    """
    commit, changes = _git_state(Path(__file__).resolve().parent)
    return {
        "awnlib": awnlib.__version__,
        "commit": commit,
        "changes": changes,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "num_cpus": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **extra,
    }


def merge_provenance(origins: Iterable[Mapping[str, str]], **extra: str) -> dict[str, str]:
    """Return the provenance of what several jobs made together, with all values where theirs differ."""
    values: dict[str, set[str]] = {}
    for origin in origins:
        for key, value in origin.items():
            values.setdefault(key, set()).add(value)
    merged = {key: " | ".join(sorted(found)) for key, found in values.items() if key != "created"}
    return {**provenance(), **merged, **extra}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _git_state(folder: Path) -> tuple[str, str]:
    """Return the commit of the checkout that tracks ``folder`` and whether it has changes."""
    if not _git(folder, "ls-files", "."):  # installed inside somebody else's repository, or no repository
        return "", ""
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return _git(folder, "rev-parse", "HEAD"), "yes" if status else "no"


def _git(folder: Path, *arguments: str) -> str:
    """Return what git prints; nothing if it fails or is not installed."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
