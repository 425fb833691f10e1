"""A table of one number for each evaluation: a metric's summary over the widths. Panels down, methods across."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from awnlib.results.blocks import Block, block, row_titles
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit
from awnlib.results.seeds import exhibit_keys, over_seeds, variants_of, with_paper_numbers
from awnlib.settings import Settings

NEEDS = ("evaluations",)


class Options(Settings):
    """How the table reads."""

    heading: str = Field(description="what its numbers are, with the unit")


def make(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the summary over the widths of every evaluation of each panel, averaged over seeds.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's table `evaluations`; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of the table `exhibit`, a row per panel, method and variant. Individually trained networks have no
        summary.
    """
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        here = exhibit.rows_of(tables["evaluations"], panel)
        for method in exhibit.methods:
            evaluated = here[here["method"] == method]
            for variant, label in variants_of(evaluated, evaluated, method):
                scores = evaluated[evaluated["variant"] == variant].groupby("seed")["score"].max()
                keys = exhibit_keys(exhibit, panel, method, label, variant)
                rows.append(keys | {"test_set": panel.test_set, "width_mult": None} | over_seeds(scores))
    return with_paper_numbers(exhibit, pd.DataFrame(rows, columns=TABLES["exhibit"].names))


def layout(exhibit: Exhibit, frame: pd.DataFrame) -> list[Block]:
    """Return one block: panels down, methods across."""
    rows = frame.assign(row=row_titles(frame))
    metric = exhibit.metric
    heading, lower = exhibit.options(Options).heading, not metric.higher_is_better
    return [block(heading, "model, data set", rows, "label", by_row=True, lower_is_better=lower, words=metric.words)]
