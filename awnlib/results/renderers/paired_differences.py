"""A table of differences image by image: how much better a method is than another on the same image, and on how many.

Means over a test set differ between networks by less than images differ from each other; the differences of each image
do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from awnlib.results.blocks import Block, block, row_title
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit
from awnlib.results.seeds import exhibit_keys, over_seeds, variants_of, with_paper_numbers
from awnlib.settings import Settings

NEEDS = ("images", "runs")
BASELINE = "baseline"
BETTER = "better_pct"
PANEL = ["model", "dataset", "paper_dataset", "test_set"]


class Options(Settings):
    """What is compared."""

    heading: str = Field(description="what the differences are, with the unit")
    over: str = Field(description="the method that others are compared with, or `baseline`, without a network")


def make(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the mean difference from another method at each width, and the share of images that are better.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's tables `images` and `runs`; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of the table `exhibit`, two rows per panel, method, variant and width (largest first). The metrics are
        the exhibit's with `_over_` and the other method's name, and `better_pct`. Numbers are means over the images,
        averaged over seeds; both networks of a pair have the same seed.
    """
    over, rows = exhibit.options(Options).over, []
    for panel in exhibit.panels:
        images, runs = (exhibit.rows_of(tables[name], panel) for name in NEEDS)
        for method in (name for name in exhibit.methods if name != over):
            own, trained = (frame[frame["method"] == method] for frame in (images, runs))
            for variant, label in variants_of(own, trained, method):
                pairs = _pairs(exhibit, own[own["variant"] == variant], images, over)
                keys = exhibit_keys(exhibit, panel, method, label, variant) | {"test_set": panel.test_set}
                rows += _rows(keys, pairs, over, sorted(trained["seed"].unique()))
    return with_paper_numbers(exhibit, pd.DataFrame(rows, columns=TABLES["exhibit"].names).astype({"macs": "Int64"}))


def layout(exhibit: Exhibit, frame: pd.DataFrame) -> list[Block]:
    """Return two blocks for each panel, differences and shares of images: widths down, methods across."""
    heading, lower = exhibit.options(Options).heading, not exhibit.metric.higher_is_better
    blocks = []
    for (*panel, metric), rows in frame.groupby([*PANEL, "metric"], sort=False):
        rows = rows.assign(row=[f"{width:g}x" for width in rows["width_mult"]])
        title = row_title(*map(str, panel))
        if metric == BETTER:
            title = f"Images that are better, %: {title}"
            blocks.append(block(title, "width", rows, "label", by_row=True, spec=".0f"))
        else:
            title = f"{heading}: {title}"
            words = exhibit.metric.words
            laid = block(title, "width", rows, "label", by_row=True, lower_is_better=lower, words=words, spec="+.3f")
            blocks.append(laid)
    return blocks


def _pairs(exhibit: Exhibit, own: pd.DataFrame, images: pd.DataFrame, over: str) -> pd.DataFrame:
    """Return the difference of each image at each width and seed, and whether it is an improvement."""
    keys = ["seed", "width_mult", "image"]
    own = own.assign(width_mult=own["width_mult"].astype(float).round(6))
    if over == BASELINE:
        both = own.assign(other=own["baseline"])
    else:
        others = images[images["method"] == over]
        others = others.assign(width_mult=others["width_mult"].astype(float).round(6), other=others["score"])
        both = own.merge(others[[*keys, "other"]], on=keys)
    difference = both["score"].astype(float) - both["other"].astype(float)
    better = difference > 0 if exhibit.metric.higher_is_better else difference < 0
    return both.assign(difference=difference, better=100.0 * better.astype(float))


def _rows(keys: Mapping[str, Any], pairs: pd.DataFrame, over: str, seeds: list[int]) -> list[dict[str, Any]]:
    names = {f"{keys['metric']}_over_{over}": "difference", BETTER: "better"}
    means = pairs.groupby(["width_mult", "seed"])[["difference", "better"]].mean()
    widths = sorted(pairs["width_mult"].unique(), reverse=True)
    return [
        {**keys, "metric": metric, "width_mult": width, "macs": None}
        | over_seeds(means.loc[width][column].reindex(seeds))
        for metric, column in names.items()
        for width in widths
    ]
