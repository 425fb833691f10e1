"""All results so far as one page of Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from awnlib.files import atomic_path
from awnlib.results.schemas import read_provenance
from benchmarks.gpu import PARTS
from benchmarks.gpu.state import State
from benchmarks.gpu.studies import TABLE


def write_summary(out: Path) -> None:
    """Write `summary.md` from what the parts left: machine, outcomes with wall times, and their tables."""
    with atomic_path(out / "summary.md") as temporary:
        temporary.write_text("\n\n".join(_sections(out)) + "\n", encoding="utf-8")


def _sections(out: Path) -> Iterator[str]:
    yield "# Measured by `python -m benchmarks.gpu`"
    yield _machine(out)
    yield _parts(out)
    for name, part in PARTS.items():
        body = list(_body(out / name))
        if body:
            yield f"## {part.title}"
            yield from body


def _machine(out: Path) -> str:
    """Return the machine and the software in words, from the provenance of whatever was measured first."""
    for origin in _origins(out):
        rest = ", ".join(f"{name} {origin[name]}" for name in ("python", "torch") if origin.get(name))
        commit = origin.get("commit", "")[:7] or "unknown"
        return f"{origin.get('device') or origin.get('cpu')}, {rest}, commit {commit}."
    return "Nothing was measured yet."


def _origins(out: Path) -> Iterator[dict[str, str]]:
    for file in sorted(out.glob("*/benchmarks.parquet")):
        row = pd.read_parquet(file).iloc[0]
        yield {name: str(row[name]) for name in ("device", "torch", "commit")}
    for file in sorted(out.glob("*/*/tables/runs.parquet")):
        yield read_provenance(file)
    if (out / "checks" / "checks.json").exists():
        for group in json.loads((out / "checks" / "checks.json").read_text(encoding="utf-8")).values():
            yield group["provenance"]


def _parts(out: Path) -> str:
    lines = ["| part | outcome | calls | wall time, s |", "|---|---|---:|---:|"]
    for name in PARTS:
        state = State.load(out / name)
        lines.append(f"| {name} | {state.outcome} | {state.calls} | {state.wall_s:.0f} |")
    return "\n".join(lines)


def _body(folder: Path) -> Iterator[str]:
    """Yield what there is of a part's results, whatever its kind."""
    if (folder / "checks.json").exists():
        groups = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
        yield "\n".join(f"- {name}: {group['result']} ({group['wall_s']:.0f} s)" for name, group in groups.items())
    if (folder / "benchmarks.md").exists():
        yield (folder / "benchmarks.md").read_text(encoding="utf-8").strip()
    for runs in sorted(folder.glob("*/tables/runs.parquet")):
        yield f"Study `{runs.parents[1].name}`."
        table = runs.with_name(f"{TABLE}.md")
        if table.exists():
            yield table.read_text(encoding="utf-8").strip()
        yield _times(runs)


def _times(file: Path) -> str:
    """Return how long the trainings of each method took, several at a time as they were."""
    lines = ["| data set | method | runs | epochs | steps | seconds |", "|---|---|---:|---:|---:|---:|"]
    for _, rows in pd.read_parquet(file).groupby(["dataset", "label"], sort=False):
        means = rows[["num_epochs", "num_steps", "train_time_s"]].mean()
        cells = [
            str(rows["dataset"].iloc[0]),
            str(rows["label"].iloc[0]),
            str(len(rows)),
            *(f"{mean:.0f}" for mean in means),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
