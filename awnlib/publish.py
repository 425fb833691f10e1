"""Publish finished studies: small files for version control, and one page that reads all of them.

``python -m awnlib.publish results/<study>`` copies tables and figures to ``docs/results/<study>/`` and writes
``docs/results/README.md`` anew. Neither weights nor logs are published. The same results give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from awnlib.claims import own_findings, paper_findings
from awnlib.collect import run_record, sweep_record
from awnlib.config import StudyConfig, load_study, study_yaml
from awnlib.departures import departures
from awnlib.files import atomic_path
from awnlib.findings import orders
from awnlib.layout import markdown
from awnlib.records import read_record
from awnlib.report import CAPTIONS, format_time, size_rows
from awnlib.schemas import read_provenance, read_table
from awnlib.study import RunConfig, evaluations, runs

TEMPLATE = Path(__file__).with_name("results_page.md.jinja")
MAX_BYTES = 1_500_000
COLLECTED = ("evaluations", "runs", "bn_drift")  # the other tables of a study are large
EXHIBITS = ("table2", "table1")
STEPS = {"train": "training", "recalibration": "recalibration", "sweep": "sweeps"}
GENERATED = {
    *(f"{name}.parquet" for name in (*COLLECTED, *EXHIBITS)),
    *(f"{name}.md" for name in EXHIBITS),
    *(f"{name}.png" for name in CAPTIONS),
}
Key = tuple[object, ...]  # dataset, model, method, seed, and width or variant


class PublishError(ValueError):
    """A study that cannot be published."""


def publish(results: Path, to: Path, *, notes: Path | None = None, incomplete: bool = False) -> None:
    """Copy what is worth keeping of a study to ``<to>/<study>/``, replacing what was published of it before.

    Parameters
    ----------
    results
        The results folder of the study.
    to
        The folder of all published studies.
    notes
        Markdown to publish as ``notes.md``; None keeps the notes that are there.
    incomplete
        Publish a study that lacks results, with a list of what it lacks.

    Raises
    ------
    PublishError
        If the folder holds no study, the study is incomplete, or the files are larger than ``MAX_BYTES`` together.
    """
    study = _configuration(results)
    missing = list(_missing(study, results))
    if missing and not incomplete:
        lines = "".join(f"\n  {line}" for line in missing)
        raise PublishError(f"{results} is incomplete (--incomplete publishes it nevertheless):{lines}")
    files = _files(study, results, missing)
    if notes:
        files["notes.md"] = notes.read_bytes()
    if sum(map(len, files.values())) > MAX_BYTES:
        sizes = ", ".join(f"{name} {len(content):,}" for name, content in files.items())
        raise PublishError(f"{results}: more than {MAX_BYTES:,} bytes to publish ({sizes})")
    folder = to / study.study
    for name, content in files.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    for name in GENERATED - set(files):
        (folder / name).unlink(missing_ok=True)


def write_page(to: Path, paper: StudyConfig) -> None:
    """Write ``<to>/README.md`` over all published studies, in the order of their names.

    Parameters
    ----------
    to
        The folder of all published studies.
    paper
        The paper's own setting, with which theirs are compared.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=False,  # Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    studies = [_section(path.parent, paper) for path in sorted(to.glob("*/study.yaml"))]
    page = environment.get_template(TEMPLATE.name).render(studies=studies)
    with atomic_path(to / "README.md") as temporary:
        temporary.write_text(re.sub(r"\n{3,}", "\n\n", page).strip() + "\n", encoding="utf-8")


def _configuration(results: Path) -> StudyConfig:
    """Return the whole configuration of a study, which is written with its report."""
    if not (results / "study.yaml").is_file():
        raise PublishError(f"{results / 'study.yaml'} does not exist: name the results folder of a study that was run")
    return load_study(results / "study.yaml")


def _missing(study: StudyConfig, results: Path) -> Iterator[str]:
    """Yield a line for each thing that a complete study has and this one lacks."""
    wanted = [*(f"tables/{name}.parquet" for name in study.tables), *(f"figures/{name}.png" for name in study.figures)]
    for name in ("complete.json", *wanted):
        if not (results / name).is_file():
            yield f"{name} is missing"
    run_table = runs(study)
    trained = [(*_cell(run), run.individual_width) for run in run_table]
    swept = [(*_cell(evaluation.run), evaluation.variant) for evaluation in evaluations(run_table)]
    yield from _holes("training", trained, read_table(results / "tables/runs.parquet"), "individual_width")
    yield from _holes("evaluation", swept, read_table(results / "tables/evaluations.parquet"), "variant")


def _cell(run: RunConfig) -> tuple[str, str, str, int]:
    return run.dataset, run.model, run.method, run.seed


def _holes(kind: str, wanted: Iterable[Key], table: pd.DataFrame, last: str) -> Iterator[str]:
    """Yield the wanted rows that a table lacks or that are not ok, and the rows that nobody wants."""
    rows = table.astype(object).where(table.notna(), None)
    found: list[Key] = list(zip(*(rows[key] for key in ("dataset", "model", "method", "seed", last)), strict=True))
    states = {key: f"{state}: {error}" for key, state, error in zip(found, rows["state"], rows["error"], strict=True)}
    good = Counter(key for key in found if states[key].startswith("ok"))
    for key in Counter(wanted) - good:
        yield f"{kind} {_path(key)}: {' '.join(states.get(key, 'no result').split())}"
    for key in Counter(found) - Counter(wanted):
        yield f"{kind} {_path(key)}: not in the configuration"


def _path(key: Key) -> str:
    return "/".join(str(part) for part in key if part is not None)


def _files(study: StudyConfig, results: Path, missing: list[str]) -> dict[str, bytes]:
    """Return what is published, by file name."""
    tables = [results / f"tables/{name}.parquet" for name in (*COLLECTED, *study.tables)]
    tables += [results / f"tables/{name}.md" for name in study.tables]
    figures = [results / f"figures/{name}.png" for name in CAPTIONS]
    # Where one computer keeps its images is nobody else's business.
    public = study.model_copy(update={"data_folder": None})
    return {
        "study.yaml": study_yaml(public).encode(),
        "provenance.json": (json.dumps(_provenance(study, results, missing), indent=2) + "\n").encode(),
        **{path.name: path.read_bytes() for path in tables if path.is_file()},
        **{path.name: _small(path) for path in figures if path.is_file()},
    }


def _small(figure: Path) -> bytes:
    """Return a figure as a PNG of 256 colours: a third of the size, and the same to the eye."""
    content = io.BytesIO()
    with Image.open(figure) as image:
        image.convert("RGB").quantize(256).save(content, "PNG", optimize=True)
    return content.getvalue()


def _provenance(study: StudyConfig, results: Path, missing: list[str]) -> dict[str, Any]:
    """Return machine, software, the times of the first and last job, wall times in seconds, and what is missing."""
    run_table = runs(study)
    records = [run_record(results, run) for run in run_table]
    records += [sweep_record(results, evaluation) for evaluation in evaluations(run_table)]
    created = sorted(read_record(path).provenance["created"] for path in records if path.is_file())
    origin = read_provenance(results / "tables/runs.parquet")
    trained, swept = (read_table(results / f"tables/{name}.parquet") for name in ("runs", "evaluations"))
    return {
        **{key: value for key, value in origin.items() if key not in ("created", "study")},
        "first_job": created[0] if created else None,
        "last_job": created[-1] if created else None,
        "train_time_s": _times(trained["train_time_s"]),
        "recalibration_time_s": _times(swept["recalibration_time_s"]),
        "sweep_time_s": _times(swept["sweep_time_s"]),
        "missing": missing,
    }


def _times(seconds: pd.Series) -> dict[str, float]:
    values = seconds.dropna().astype(float).tolist()
    return {"jobs": len(values), "sum": round(sum(values, 0.0), 1), "max": round(max(values, default=0.0), 1)}


def _section(folder: Path, paper: StudyConfig) -> dict[str, Any]:
    """Return what the page says of one published study."""
    study = load_study(folder / "study.yaml")
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.parquet"))}
    origin = json.loads((folder / "provenance.json").read_text())
    notes = folder / "notes.md"
    claims = paper_findings(study, tables)
    holds = sum(finding.verdict == "holds" for _, finding in claims)
    return {
        "name": study.study,
        "description": study.description,
        **_machine(origin),
        "missing": origin["missing"],
        "score": f"{holds} of {len(claims)}",
        "paper_findings": claims,
        "own_findings": own_findings(tables["evaluations"]),
        "orders": orders(tables["table2"]) if "table2" in tables else [],
        "tables": "\n".join(markdown(tables[name], name) for name in EXHIBITS if name in tables),
        "sizes": size_rows(tables["evaluations"], tables["runs"]),
        "figures": [(name, *text) for name, text in CAPTIONS.items() if (folder / f"{name}.png").is_file()],
        "departures": departures(study, paper),
        "notes": notes.read_text(encoding="utf-8").strip() if notes.is_file() else "",
        "files": sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")),
    }


def _machine(origin: Mapping[str, Any]) -> dict[str, str]:
    """Return machine, software and times in words."""
    times = {name: origin[f"{step}_time_s"] for step, name in STEPS.items() if origin[f"{step}_time_s"]["jobs"]}
    dates = dict.fromkeys(str(origin[job])[:10] for job in ("first_job", "last_job") if origin[job])
    changes = " with uncommitted changes" if "yes" in origin["changes"] else ""
    return {
        "machine": origin["cpu"] if origin["device"] == "cpu" else origin["device"],
        "cores": f"CPU cores: {origin['num_cpus']}, threads of a job: {origin['threads']}",
        "software": f"torch {origin['torch']}, awnlib {origin['awnlib']}, commit {origin['commit']}{changes}",
        "train_time": format_time(origin["train_time_s"]["sum"]),
        "times": "; ".join(f"{name} {_duration(step)}" for name, step in times.items()),
        "dates": " to ".join(dates),
    }


def _duration(times: Mapping[str, float]) -> str:
    return f"{format_time(times['sum'])} in {times['jobs']} jobs, the longest {format_time(times['max'])}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish the study that the command line names, and write the page anew."""
    parser = argparse.ArgumentParser(prog="python -m awnlib.publish", description="Publish a finished study.")
    parser.add_argument("results", type=Path, help="results folder of the study, results/<study>")
    parser.add_argument("--to", type=Path, default=Path("docs/results"), help="folder of all published studies")
    parser.add_argument("--notes", type=Path, help="Markdown file to publish as the study's notes")
    parser.add_argument("--incomplete", action="store_true", help="publish although results are missing")
    parser.add_argument(
        "--paper", type=Path, default=Path("configs/awn_paper.yaml"), help="the paper's own setting, to compare with"
    )
    options = parser.parse_args(arguments)
    try:
        paper = load_study(options.paper)
        publish(options.results, options.to, notes=options.notes, incomplete=options.incomplete)
        write_page(options.to, paper)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
