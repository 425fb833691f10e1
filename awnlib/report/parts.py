"""What the pages say of each kind of studies, by the kind's name.

A part is a module with `COLLECTED` (the tables without which nothing can be said of a study), `PUBLISHED` (those that
every number on the page of all studies rests on), `TEMPLATE` (the file of its HTML page, named in full, so that digests
of code follow it), `report` (what that page has of its own), `contents` (what is published) and `section` (what the
page of all studies has of its own).
"""

from __future__ import annotations

from types import ModuleType

from awnlib.report import transfer, widths
from awnlib.studies.base import BaseStudy

PARTS: dict[str, ModuleType] = {"widths": widths, "transfer": transfer}


def part_of(study: BaseStudy) -> ModuleType:
    """Return what speaks of a study's kind."""
    return PARTS[study.kind]
