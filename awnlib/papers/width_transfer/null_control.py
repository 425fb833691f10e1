"""Our own question about width transfer: what of DMCP's widths is the images', and what is the budget's alone?

A search with a task weight of 0 sees no image (`awnlib.width_transfer.dmcp`). Where its widths are as much alike
between sources, or as much like DMCP's, similarity says nothing of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from awnlib.papers.width_transfer.panels import axes_of, decisive_rows, difference, found_rows, is_above, top1_text
from awnlib.papers.width_transfer.vectors import alike_between_sources, cosine_by_seed, similar_places
from awnlib.results.findings import Finding
from awnlib.results.means import above, exact, mean_of
from awnlib.results.numbers import mean_with_spread
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.layout import between_sources

OURS = "awnlib"
Found = list[tuple[str, Finding | None]]


def null_findings(study: TransferStudy, tables: Mapping[str, pd.DataFrame]) -> Found:
    """Compare each search with its null control, target by target."""
    pairs = {row: null for row in study.transfer.optimizers if (null := study.null_control(row)) is not None}
    found: Found = []
    axes = list(axes_of(decisive_rows(study, tables["transfer"])))
    places = similar_places(tables["similarity"]) if "similarity" in tables else []
    for row, null in pairs.items():
        labels = study.label(row), study.label(null)
        found += [(place, passes_the_papers_test(rows, null, labels[1])) for place, rows in places]
        found += [(place, more_alike_than_with(rows, row, labels)) for place, rows in places]
        found += [(place, better_than(rows, row, null)) for place, rows in axes]
    return found


def passes_the_papers_test(rows: pd.DataFrame, null: str, label: str) -> Finding | None:
    """Return whether widths that no image decided are alike in the sense of the paper; `rows` of `similar_places`."""
    finding = alike_between_sources(rows, null, label)
    return None if finding is None else replace(finding, source=OURS)


def more_alike_than_with(rows: pd.DataFrame, row: str, labels: tuple[str, str]) -> Finding | None:
    """Return whether widths of different sources are more alike than they are like the null control's.

    Parameters
    ----------
    rows
        Rows of "similarity" for one target (`similar_places`).
    row, labels
        The row of `optimizers`, and what it and its null control are called.
    """
    own = rows[rows["one_optimizer"] == row]
    between, floor = cosine_by_seed(own[between_sources(own)]), cosine_by_seed(own[own["relation"] == "null"])
    if between.empty or floor.empty:
        return None
    claim = f"{labels[0]}'s widths from different sources are more alike than they are like those of {labels[1]}"
    groups = {"between sources": between, f"with {labels[1]}": floor}
    means = [f"{name} {mean_with_spread(found, '.3f')}" for name, found in groups.items()]
    return Finding(OURS, claim, above(mean_of(between - floor), exact(0)), f"cosine {', '.join(means)}")


def better_than(rows: pd.DataFrame, row: str, null: str) -> Finding | None:
    """Return whether directly optimised widths are better than those of the null control; `rows` of one axis."""
    direct = rows[rows["is_direct"]]
    one, other = (found_rows(direct, name) for name in (row, null))
    if one.empty or other.empty:
        return None
    first, second = one.iloc[0], other.iloc[0]
    claim = f"{first['label']}'s directly optimised widths beat those of {second['label']}"
    numbers = f"{top1_text(first)}, {top1_text(second)} ({difference(first, second):+.2f})"
    return Finding(OURS, claim, is_above(first, second), numbers)
