"""The measured ratios as one table, and as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tabulate import tabulate

from awnlib.files import atomic_path
from awnlib.jobs.provenance import provenance
from awnlib.results.style import save_figure
from benchmarks.plot import plot, verdict
from benchmarks.workload import Options

MEASURED = (
    *("benchmark", "case", "reference", "ratio", "ratio_q25", "ratio_q75", "rounds", "unit"),
    *("case_ms", "reference_ms", "case_mib", "reference_mib", "target", "target_kind", "holds_with"),
    "reached",
)
HEADERS = ("benchmark", "case", "beside", "ratio", "quartiles", "case takes", "beside it", "target", "verdict")


def frame_of(rows: list[dict[str, Any]], options: Options) -> pd.DataFrame:
    """Return measured rows with the machine and the versions that they come from."""
    source = provenance()
    frame = pd.DataFrame(rows, columns=MEASURED)
    frame = frame.astype({"target": "Float64", "target_kind": "string", "holds_with": "string", "reached": "boolean"})
    return frame.assign(
        device=torch.cuda.get_device_name() if options.device == "cuda" else source["cpu"],
        threads=options.threads,
        batch_size=options.batch_size,
        **{name: source[name] for name in ("torch", "commit", "changes")},
    )


def table(frame: pd.DataFrame, style: str) -> str:
    """Return the ratios as text, in one of the styles of `tabulate`."""
    rows = [_cells(row) for row in frame.to_dict("records")]
    return tabulate(rows, HEADERS, tablefmt=style, disable_numparse=True)


def write(frame: pd.DataFrame, folder: Path) -> None:
    """Write `benchmarks.parquet`, `.md`, `.png` and `.svg`, each all or nothing."""
    with atomic_path(folder / "benchmarks.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    with atomic_path(folder / "benchmarks.md") as temporary:
        temporary.write_text(f"{heading(frame)}\n\n{table(frame, 'pipe')}\n", encoding="utf-8")
    save_figure(plot(frame), folder / "benchmarks")


def heading(frame: pd.DataFrame) -> str:
    """Return in words what was measured where."""
    row = frame.iloc[0]
    return (
        f"Medians over rounds and their quartiles; {row['device']}, {row['threads']} thread(s), "
        f"batch {row['batch_size']}, torch {row['torch']}, commit {row['commit'][:7] or 'unknown'}."
    )


def _cells(row: Mapping[Any, Any]) -> list[str]:
    column, unit = f"_{row['unit'].lower()}", row["unit"]
    return [
        *(row["benchmark"], row["case"], row["reference"]),
        f"{row['ratio']:.3f}",
        f"{row['ratio_q25']:.3f} to {row['ratio_q75']:.3f}",
        *(f"{row[name + column]:.3g} {unit}" for name in ("case", "reference")),
        "" if pd.isna(row["target"]) else f"{row['target_kind']} {row['target']:g}",
        verdict(row) or ("" if pd.isna(row["target"]) else f"no target here (holds with {row['holds_with']})"),
    ]
