"""Our own question about width transfer: are widths better if a search is cross-validated, with folds?"""

from __future__ import annotations

from typing import Any

import pandas as pd

from awnlib.papers.width_transfer.panels import difference, found_rows, is_above, place_of, top1_text
from awnlib.results.findings import Finding, joined
from awnlib.studies.transfer.config import TransferStudy


def folds_help(rows: pd.DataFrame, row: str, other: str) -> Finding | None:
    """Our question: from the same source, a search with folds finds better widths than the same search without.

    Appendix C calls for cross-validation where widths overfit.

    Parameters
    ----------
    rows
        All rows of one axis.
    row, other
        Rows of `optimizers`, with folds and without.
    """
    folded, plain = (
        {(cell["source"], cell["extrapolation"]): cell for _, cell in found_rows(rows, name).iterrows()}
        for name in (row, other)
    )
    pairs = [(cell, plain[key]) for key, cell in folded.items() if key in plain]
    if not pairs:
        return None
    folds, single = (cell["label"] for cell in pairs[0])
    numbers = [
        f"{place_of(cell)}: {folds} {top1_text(cell)}, {single} {top1_text(without)} ({difference(cell, without):+.2f})"
        for cell, without in pairs
    ]
    verdict = joined([is_above(*pair) for pair in pairs])
    return Finding("awnlib", f"{folds} finds better widths than {single}", verdict, "; ".join(numbers))


def has_folds(study: TransferStudy, row: str) -> bool:
    """Return whether a row of `optimizers` searches with folds."""
    return bool(study.row_settings(row)[1]["folds"] > 1)


def folded_rows(study: TransferStudy) -> list[tuple[str, str]]:
    """Return pairs of rows of `optimizers` that differ in nothing but folds: the one that has them, and the other."""
    rows = list(study.transfer.optimizers)
    plain = {row: _without_folds(study, row) for row in rows if not has_folds(study, row)}
    return [
        (row, other)
        for row in rows
        if row not in plain
        for other, settings in plain.items()
        if settings == _without_folds(study, row)
    ]


def _without_folds(study: TransferStudy, row: str) -> tuple[str, dict[str, Any]]:
    optimizer, settings = study.row_settings(row)
    return optimizer, {**settings, "folds": 1}
