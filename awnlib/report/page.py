"""Pages of results: one HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from awnlib.files import atomic_path

FOLDER = Path(__file__).parent
MIME = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Picture:
    """A figure ready for the page."""

    name: str
    title: str
    caption: str
    source: str  # data URI
    link: str


def load_picture(name: str, file: Path, folder: Path, *, title: str, caption: str) -> Picture:
    """Return an SVG or PNG file for a page in `folder`.

    Raises
    ------
    ValueError
        If the file is neither SVG nor PNG.
    """
    if file.suffix not in MIME:
        raise ValueError(f"figure {name}: {file} cannot be put into the report (allowed: {', '.join(MIME)})")
    data = base64.b64encode(file.read_bytes()).decode()
    return Picture(name, title, caption, f"data:{MIME[file.suffix]};base64,{data}", link(file, folder))


def link(file: Path, folder: Path) -> str:
    """Return a link that stays valid when the results are moved as a whole."""
    return Path(os.path.relpath(file, folder)).as_posix()


def write_page(path: str | Path, template: str, content: Mapping[str, Any]) -> None:
    """Fill in a template of this package that extends `page.html.jinja`, and write the page."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    html = environment.get_template(template).render(content)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def format_time(seconds: float) -> str:
    """Return a duration for readers: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
