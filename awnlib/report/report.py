"""The report of a study: one HTML page that holds everything it shows and loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from awnlib.report.page import link, load_picture, write_page
from awnlib.report.parts import part_of
from awnlib.results.exhibits import exhibit_row, load_paper
from awnlib.studies.base import BaseStudy, study_yaml


def write_report(
    path: str | Path,
    *,
    study: BaseStudy,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Path],
    provenance: Mapping[str, str],
    files: Iterable[Path] = (),
) -> None:
    """Write the report of a study as one self-contained HTML page.

    Parameters
    ----------
    path
        The HTML file.
    study
        The configuration, shown in full.
    tables
        By name: those that its kind needs (`part_of(study).COLLECTED`), which may be empty, and those for readers
        (`study.tables`) as far as it has them.
    figures
        SVG or PNG files by the names of `study.figures`; they are put into the page.
    provenance
        Where the numbers come from.
    files
        Further files to link to.

    Raises
    ------
    ValueError
        If a figure is neither SVG nor PNG.
    """
    part, folder = part_of(study), Path(path).parent
    rows = {name: exhibit_row(name) for name in in_order(study, figures)}
    content = {
        "study": study,
        "pictures": [
            load_picture(name, Path(figures[name]), folder, title=row.title, caption=row.caption)
            for name, row in rows.items()
        ],
        **part.report(study, tables),
        "provenance": {name: value for name, value in provenance.items() if value},
        "configuration": study_yaml(study),
        "files": [link(Path(file), folder) for file in files],
    }
    write_page(path, part.TEMPLATE, content)


def in_order(study: BaseStudy, figures: Iterable[str]) -> list[str]:
    """Return names of figures in the study's order, those first that say most of a paper."""
    main = {f"{paper}.{load_paper(paper).main}" for paper in study.papers}
    there = set(figures)
    names = [name for name in study.figures if name in there]
    return sorted(names, key=lambda name: name not in main)
