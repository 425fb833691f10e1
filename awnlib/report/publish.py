"""Publish finished studies: small files for version control, and one page that reads all of them.

``python -m awnlib.report.publish results/<study>`` copies tables and figures to ``docs/results/<study>/`` and writes
``docs/results/README.md`` anew. Neither weights nor logs are published. The same results give the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from awnlib.files import atomic_path
from awnlib.jobs.records import read_record
from awnlib.report.contents import Contents
from awnlib.report.parts import PARTS, part_of
from awnlib.report.results_page import write_page
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import exhibit_names
from awnlib.studies.base import BaseStudy, study_yaml
from awnlib.studies.kinds import load_any_study

MAX_BYTES = 1_500_000


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
        If the folder holds no study, the study has no tables yet, it is incomplete, or the files are larger than
        ``MAX_BYTES`` together.
    """
    study = _configuration(results)
    if not all((results / f"tables/{name}.parquet").is_file() for name in part_of(study).COLLECTED):
        raise _unfinished(results)
    contents: Contents = part_of(study).contents(study, results)
    missing = [*_missing_files(study, results), *contents.lost]
    if missing and not incomplete:
        lines = "".join(f"\n  {line}" for line in missing)
        raise PublishError(f"{results} is incomplete (--incomplete publishes it nevertheless):{lines}")
    files = _files(study, contents, results, missing)
    if notes:
        files["notes.md"] = notes.read_bytes()
    if sum(map(len, files.values())) > MAX_BYTES:
        sizes = ", ".join(f"{name} {len(content):,}" for name, content in files.items())
        raise PublishError(f"{results}: more than {MAX_BYTES:,} bytes to publish ({sizes})")
    folder = to / study.study
    for name, content in files.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    for name in _generated() - set(files):
        (folder / name).unlink(missing_ok=True)


def _configuration(results: Path) -> BaseStudy:
    """Return the whole configuration of a study, which is written with its report."""
    if (results / "study.yaml").is_file():
        return load_any_study(results / "study.yaml")
    if (results / "logs").is_dir():  # the first thing that a study leaves
        raise _unfinished(results)
    raise PublishError(f"{results / 'study.yaml'} does not exist: name the results folder of a study that was run")


def _unfinished(results: Path) -> PublishError:
    return PublishError(f"{results} is not finished: run the study until report.html is there")


def _generated() -> set[str]:
    """Return the names of all files that a study may have published but for its own notes."""
    exhibits = [name for kind in PARTS for name in exhibit_names(kind)]
    tables = {f"{name}.{suffix}" for name in [*TABLES, *exhibits] for suffix in ("parquet", "md")}
    return tables | {f"{name}.png" for name in exhibits}


def _missing_files(study: BaseStudy, results: Path) -> Iterator[str]:
    """Yield a line for each file that a complete study has and this one lacks."""
    wanted = [*(f"tables/{name}.parquet" for name in study.tables), *(f"figures/{name}.png" for name in study.figures)]
    for name in ("complete.json", *wanted):
        if not (results / name).is_file():
            yield f"{name} is missing"


def _files(study: BaseStudy, contents: Contents, results: Path, missing: list[str]) -> dict[str, bytes]:
    """Return what is published, by file name."""
    tables = [results / f"tables/{name}.parquet" for name in [*contents.tables, *study.tables]]
    tables += [results / f"tables/{name}.md" for name in study.tables]
    figures = [results / f"figures/{name}.png" for name in study.figures]
    # Where one computer keeps its images is nobody else's business.
    public = study.model_copy(update={"data_folder": None})
    return {
        "study.yaml": study_yaml(public).encode(),
        "provenance.json": (json.dumps(_provenance(contents, missing), indent=2) + "\n").encode(),
        **{path.name: path.read_bytes() for path in tables if path.is_file()},
        **{path.name: _small(path) for path in figures if path.is_file()},
    }


def _small(figure: Path) -> bytes:
    """Return a figure as a PNG of 256 colours: a third of the size, and the same to the eye."""
    content = io.BytesIO()
    with Image.open(figure) as image:
        image.convert("RGB").quantize(256).save(content, "PNG", optimize=True)
    return content.getvalue()


def _provenance(contents: Contents, missing: list[str]) -> dict[str, Any]:
    """Return machine, software, the times of the first and last job, wall times in seconds, and what is missing."""
    created = sorted(read_record(path).provenance["created"] for path in contents.records if path.is_file())
    return {
        **{key: value for key, value in contents.origin.items() if key not in ("created", "study")},
        "first_job": created[0] if created else None,
        "last_job": created[-1] if created else None,
        **{f"{step}_time_s": _times(seconds) for step, seconds in contents.seconds.items()},
        "missing": missing,
    }


def _times(seconds: Sequence[float]) -> dict[str, float]:
    return {"jobs": len(seconds), "sum": round(sum(seconds, 0.0), 1), "max": round(max(seconds, default=0.0), 1)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish the study that the command line names, and write the page anew."""
    parser = argparse.ArgumentParser(prog="python -m awnlib.report.publish", description="Publish a finished study.")
    parser.add_argument("results", type=Path, help="results folder of the study, results/<study>")
    parser.add_argument("--to", type=Path, default=Path("docs/results"), help="folder of all published studies")
    parser.add_argument("--notes", type=Path, help="Markdown file to publish as the study's notes")
    parser.add_argument("--incomplete", action="store_true", help="publish although results are missing")
    options = parser.parse_args(arguments)
    try:
        publish(options.results, options.to, notes=options.notes, incomplete=options.incomplete)
        write_page(options.to)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
