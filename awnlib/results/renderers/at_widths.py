"""A table of the scores at some widths and of their mean: widths down and methods across, or the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from awnlib.results.blocks import Block, Cell, block, row_title
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.seeds import exhibit_keys, over_seeds, variants_of, with_paper_numbers
from awnlib.settings import Settings
from awnlib.tasks import Metric

NEEDS = ("sweep", "runs")
MEAN = "AVG"
PANEL = ["model", "dataset", "paper_dataset", "test_set"]


class Options(Settings):
    """What the numbers are, and how the table reads."""

    heading: str = Field(description="what its numbers are, with the unit")
    as_error: bool = Field(default=False, description="100 minus the score, in place of the score")
    across: Literal["methods", "widths"] = Field(default="methods", description="what stands side by side")
    gain_over: str | None = Field(default=None, description="the method over which every other's gain is shown")
    widths: list[float] = Field(
        default_factory=list, description="of networks that the paper has no numbers for; empty: those that are trained"
    )
    shows_macs: bool = Field(default=False, description="a column with the MACs of the first method that has them")


def make(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the score at each width of a panel, and the mean over these widths, averaged over seeds.

    The widths are those that the paper has numbers for, else the row's, else those that some method was trained at.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's tables `sweep` and `runs`; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of the table `exhibit`, a row per panel, method, variant and width (largest first), and one without a
        width for their mean. Of errors the metric is the score's with `_error`.
    """
    options = exhibit.options(Options)
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        swept, runs = (exhibit.rows_of(tables[name], panel) for name in NEEDS)
        widths = _widths(exhibit, panel, swept[swept["method"].isin(exhibit.methods)])
        for method in exhibit.methods:
            own, trained = (frame[frame["method"] == method] for frame in (swept, runs))
            seeds = sorted(trained["seed"].unique())
            for variant, label in variants_of(own, trained, method):
                keys = exhibit_keys(exhibit, panel, method, label, variant) | {"test_set": panel.test_set}
                points = _points(own[own["variant"] == variant], "score", seeds, widths)
                points = 100 - points if options.as_error else points
                macs = _points(own[own["variant"] == variant], "macs", seeds, widths).max().to_dict()
                rows += [keys | {"width_mult": w, "macs": macs[w]} | over_seeds(points[w]) for w in widths]
                rows.append(keys | {"width_mult": None, "macs": None} | over_seeds(points.mean(axis=1, skipna=False)))
    frame = pd.DataFrame(rows, columns=TABLES["exhibit"].names).astype({"macs": "Int64"})
    if options.as_error:
        frame = frame.assign(metric=f"{exhibit.metric.name}_error")
    return with_paper_numbers(exhibit, frame)


def layout(exhibit: Exhibit, frame: pd.DataFrame) -> list[Block]:
    """Return a block for each panel."""
    return [
        _panel_block(exhibit.options(Options), exhibit.metric, row_title(*map(str, panel)), rows)
        for panel, rows in frame.groupby(PANEL, sort=False)
    ]


def _panel_block(options: Options, metric: Metric, title: str, rows: pd.DataFrame) -> Block:
    text = [MEAN if pd.isna(width) else f"{width:g}x" for width in rows["width_mult"]]
    down, across = (text, rows["label"]) if options.across == "methods" else (rows["label"], text)
    rows = rows.assign(row=list(down), column=list(across), gain=_gains(options, rows))
    by_row = options.across == "methods"
    corner = "width" if by_row else "method"
    lower = options.as_error == metric.higher_is_better
    heading = f"{options.heading}: {title}"
    laid = block(heading, corner, rows, "column", by_row=by_row, lower_is_better=lower, words=metric.words)
    if options.gain_over and rows["gain"].notna().any():
        over = rows.loc[rows["method"] == options.gain_over, "label"].iloc[0]
        laid.notes.append(f"In brackets the gain over {over}.")
    return _with_macs(laid, rows) if options.shows_macs and by_row else laid


def _gains(options: Options, rows: pd.DataFrame) -> pd.Series[float]:
    """Return by how much each score is better than that of `gain_over` at the same width; null for its own."""
    width = rows["width_mult"].astype(float).fillna(0.0)
    is_reference = rows["method"] == options.gain_over
    reference = width.map(rows["score"].astype(float).set_axis(width)[is_reference.to_numpy()].to_dict())
    gains = rows["score"].astype(float) - reference
    return (-gains if options.as_error else gains).mask(is_reference)


def _with_macs(laid: Block, rows: pd.DataFrame) -> Block:
    """Put the MACs of each width beside its name."""
    known = rows.dropna(subset="macs").drop_duplicates("row").set_index("row")["macs"].to_dict()
    cells = [(name, [Cell(_short(known.get(name)), ""), *cells]) for name, cells in laid.rows]
    return Block(laid.title, [laid.columns[0], "MACs", *laid.columns[1:]], cells, laid.notes)


def _short(macs: int | None) -> str:
    """Return MACs as the papers write them: 569M."""
    if macs is None:
        return ""
    return f"{macs / 1e6:.0f}M" if macs >= 1e7 else f"{macs / 1e6:.2g}M"


def _points(rows: pd.DataFrame, column: str, seeds: list[int], widths: list[float]) -> pd.DataFrame:
    """Return one value for each seed (down) and width (across); null where there is none."""
    rounded = rows.assign(width_mult=rows["width_mult"].astype(float).round(6))
    table = rounded.pivot_table(index="seed", columns="width_mult", values=column, aggfunc="first")
    return table.reindex(index=seeds, columns=widths).astype(float)


def _widths(exhibit: Exhibit, panel: PanelConfig, swept: pd.DataFrame) -> list[float]:
    dataset = panel.paper_dataset or panel.dataset
    trained = swept.loc[swept["is_trained"].astype(bool), "width_mult"].astype(float).round(6)
    own = sorted(set(trained), reverse=True)
    paper = exhibit.paper.widths(exhibit.short_name, dataset=dataset, model=panel.model)
    return paper or exhibit.options(Options).widths or own
