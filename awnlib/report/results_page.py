"""The page over all published studies, written from their files alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from awnlib.files import atomic_path
from awnlib.report.page import format_time
from awnlib.report.parts import part_of
from awnlib.report.report import in_order
from awnlib.report.scores import VERDICTS, Found, count_claims, count_verdicts
from awnlib.results.exhibits import PAPERS, exhibit_row, load_paper, paper_settings
from awnlib.results.means import CONFIDENCE, OF_ONE_SEED_PCT, Mean, difference_interval
from awnlib.results.schemas import read_table
from awnlib.studies.base import BaseStudy
from awnlib.studies.kinds import departures_of, load_any_study

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


def write_page(to: Path) -> None:
    """Write ``<to>/README.md`` over all published studies, in the order of their names.

    Parameters
    ----------
    to
        The folder of all published studies.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=False,  # Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    studies = [_section(path.parent) for path in sorted(to.glob("*/study.yaml"))]
    papers = dict.fromkeys(name for study in studies for name in study["claims"])
    claims = {name: [found for study in studies for found in study["claims"].get(name, [])] for name in papers}
    page = environment.get_template(TEMPLATE.name).render(
        studies=studies,
        papers={name: (load_paper(name), count_claims(claims[name])) for name in papers},
        verdicts=VERDICTS,
        confidence=CONFIDENCE,
        of_one=OF_ONE_SEED_PCT,
        one_seed=difference_interval(*[Mean(0.0, 0.0, 1, OF_ONE_SEED_PCT)] * 2)[1],
    )
    with atomic_path(to / "README.md") as temporary:
        temporary.write_text(re.sub(r"\n{3,}", "\n\n", page).strip() + "\n", encoding="utf-8")


def _section(folder: Path) -> dict[str, Any]:
    """Return what the page says of one published study."""
    study = load_any_study(folder / "study.yaml")
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.parquet"))}
    own = part_of(study).section(study, tables)
    claims, ours = (_findings(study, own["known"], which) for which in ("paper_findings", "own_findings"))
    all_claims = [found for rows in claims.values() for found in rows]
    origin = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    notes = folder / "notes.md"
    figures = [name for name in in_order(study, study.figures) if (folder / f"{name}.png").is_file()]
    return {
        "name": study.study,
        "description": study.description,
        **_machine(origin),
        "missing": origin["missing"],
        "claims": claims,
        "score": count_verdicts(finding.verdict for _, finding in all_claims),
        **own,
        "paper_findings": all_claims,
        "own_findings": [found for rows in ours.values() for found in rows],
        "departures": list(_departures(study)),
        "figures": [(name, exhibit_row(name)) for name in figures],
        "notes": notes.read_text(encoding="utf-8").strip() if notes.is_file() else "",
        "lost": [name for name in part_of(study).PUBLISHED if name not in tables],
        "files": sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")),
    }


def _findings(study: BaseStudy, tables: Mapping[str, pd.DataFrame], which: str) -> dict[str, list[Found]]:
    """Return what the claims of a study's papers come to, by paper; a paper may make none."""
    found: dict[str, list[Found]] = {}
    for paper in study.papers:
        found[paper] = []
        if (PAPERS / paper / "claims.py").is_file():
            claims = import_module(f"awnlib.papers.{paper}.claims")
            found[paper] = getattr(claims, which, lambda *_: [])(study, tables)
    return found


def _departures(study: BaseStudy) -> Iterator[tuple[str, list[str]]]:
    """Yield the title of each of a study's papers that has a setting of its task, and what the study has different."""
    for paper in study.papers:
        for own in map(load_any_study, paper_settings(paper)):
            if getattr(own, "task", None) == getattr(study, "task", None):
                yield load_paper(paper).title, departures_of(study, own)


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
