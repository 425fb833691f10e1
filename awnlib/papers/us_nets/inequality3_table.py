"""How large residual errors are, and how often they keep to inequality 3: a row for each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from awnlib.results.blocks import Block, block, row_title
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit
from awnlib.results.seeds import exhibit_keys, over_seeds, with_paper_numbers
from awnlib.results.variants import AS_TRAINED
from awnlib.settings import Settings

NEEDS = ("residuals", "runs")
COLUMNS = {
    "residual_at_smallest_pct": "at the smallest width, % of the feature",
    "residual_pct": "mean over the widths, % of the feature",
    "bounded_pct": "no larger than at the smallest width, % of the features",
    "shrinking_pct": "no larger than one width before, % of the features",
}
HEADING = "Residual error of features"


class Options(Settings):
    """There are none."""


def make(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the residual errors of each panel and method, averaged over its widths, then over layers, then over seeds.

    Full width, where nothing is missing, does not count, nor does a width at which a layer reads as many inputs as at
    the one before.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's tables `residuals` and `runs`; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of the table `exhibit`, a row per panel, method and metric: a key of `COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        residuals, runs = (exhibit.rows_of(tables[name], panel) for name in NEEDS)
        for method in exhibit.methods:
            seeds = sorted(runs.loc[runs["method"] == method, "seed"].unique())
            found = _of_seeds(residuals[residuals["method"] == method]).reindex(seeds)
            label = exhibit.settings[method].label
            keys = exhibit_keys(exhibit, panel, method, label, AS_TRAINED)
            keys |= {"test_set": "train", "width_mult": None, "macs": None}
            rows += [keys | {"metric": metric} | over_seeds(found[metric]) for metric in COLUMNS]
    return with_paper_numbers(exhibit, pd.DataFrame(rows, columns=TABLES["exhibit"].names))


def layout(exhibit: Exhibit, frame: pd.DataFrame) -> list[Block]:
    """Return a block for each panel: methods down, what was measured across."""
    rows = frame.assign(row=frame["label"], what=frame["metric"].map(COLUMNS))
    panels = rows.groupby(["model", "dataset", "paper_dataset"], sort=False)
    return [
        _without_best(block(f"{HEADING}: {row_title(*map(str, panel))}", "method", part, "what", by_row=False))
        for panel, part in panels
    ]


def _of_seeds(residuals: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each metric over widths, then over layers: a row for each seed."""
    layer = ["seed", "layer"]
    steps = residuals.sort_values("width_mult").drop_duplicates([*layer, "num_inputs"])
    steps = steps[steps["num_inputs"] < steps.groupby(layer)["num_inputs"].transform("max")].astype({"relative": float})
    by_layer = steps.groupby(layer)
    found = by_layer[["bounded_pct", "shrinking_pct"]].mean()
    found["residual_at_smallest_pct"] = 100 * by_layer["relative"].first()
    found["residual_pct"] = 100 * by_layer["relative"].mean()
    return found.groupby("seed").mean()


def _without_best(laid: Block) -> Block:
    """Take the marks off the largest numbers: here they are not the best."""
    rows = [(name, [cell and replace(cell, is_best=False) for cell in cells]) for name, cells in laid.rows]
    return replace(laid, rows=rows)
