"""The page over all published studies, written from their files alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import awnlib.report.published
import awnlib.report.study_report
import awnlib.report.transfer_published
import awnlib.report.transfer_report
from awnlib.files import atomic_path
from awnlib.report.page import format_time
from awnlib.results.schemas import read_table
from awnlib.studies.kinds import load_any_study
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.widths.config import StudyConfig

TEMPLATE = Path(__file__).with_name("results_page.md.jinja")
STEPS = {
    "search": "searches",
    "retraining": "retrainings",
    "train": "training",
    "recalibration": "recalibration",
    "sweep": "sweeps",
}
TRAINING = ("search", "retraining", "train")
"""Steps that train networks."""
CAPTIONS = {**awnlib.report.study_report.CAPTIONS, **awnlib.report.transfer_report.CAPTIONS}


def write_page(to: Path, paper: StudyConfig, transfer_paper: TransferStudy) -> None:
    """Write ``<to>/README.md`` over all published studies, in the order of their names.

    Parameters
    ----------
    to
        The folder of all published studies.
    paper, transfer_paper
        The own settings of the two papers, with which studies of their kind are compared.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=False,  # Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    studies = [_section(path.parent, paper, transfer_paper) for path in sorted(to.glob("*/study.yaml"))]
    page = environment.get_template(TEMPLATE.name).render(studies=studies)
    with atomic_path(to / "README.md") as temporary:
        temporary.write_text(re.sub(r"\n{3,}", "\n\n", page).strip() + "\n", encoding="utf-8")


def _section(folder: Path, paper: StudyConfig, transfer_paper: TransferStudy) -> dict[str, Any]:
    """Return what the page says of one published study."""
    study = load_any_study(folder / "study.yaml")
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.parquet"))}
    if isinstance(study, TransferStudy):
        own = awnlib.report.transfer_published.section(study, tables, transfer_paper)
    else:
        own = awnlib.report.published.section(study, tables, paper)
    origin = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    notes = folder / "notes.md"
    claims = own["paper_findings"]
    holds = sum(finding.verdict == "holds" for _, finding in claims)
    return {
        "name": study.study,
        "is_transfer": isinstance(study, TransferStudy),
        "description": study.description,
        **_machine(origin),
        "missing": origin["missing"],
        "score": f"{holds} of {len(claims)}",
        **own,
        "figures": [(name, *text) for name, text in CAPTIONS.items() if (folder / f"{name}.png").is_file()],
        "notes": notes.read_text(encoding="utf-8").strip() if notes.is_file() else "",
        "files": sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")),
    }


def _machine(origin: Mapping[str, Any]) -> dict[str, str]:
    """Return machine, software and times in words."""
    times = {step: origin[f"{step}_time_s"] for step in STEPS if f"{step}_time_s" in origin}
    dates = dict.fromkeys(str(origin[job])[:10] for job in ("first_job", "last_job") if origin[job])
    changes = " with uncommitted changes" if "yes" in origin["changes"] else ""
    return {
        "machine": origin["cpu"] if origin["device"] == "cpu" else origin["device"],
        "cores": f"CPU cores: {origin['num_cpus']}, threads of a job: {origin['threads']}",
        "software": f"torch {origin['torch']}, awnlib {origin['awnlib']}, commit {origin['commit']}{changes}",
        "train_time": format_time(sum(times[step]["sum"] for step in TRAINING if step in times)),
        "times": "; ".join(f"{STEPS[step]} {_duration(found)}" for step, found in times.items() if found["jobs"]),
        "dates": " to ".join(dates),
    }


def _duration(times: Mapping[str, float]) -> str:
    return f"{format_time(times['sum'])} in {times['jobs']} jobs, the longest {format_time(times['max'])}"
