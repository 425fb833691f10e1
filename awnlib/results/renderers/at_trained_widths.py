"""A table of the scores at each trained width: in training, in the last epoch, and on test images. Methods down, widths
across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from awnlib.results.blocks import Block, block, row_title
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.seeds import exhibit_keys, over_seeds, variants_of, with_paper_numbers
from awnlib.settings import Settings

NEEDS = ("history", "sweep", "runs")
TRAIN = "train"
IMAGES = {TRAIN: "Training", "test": "Test"}


class Options(Settings):
    """There are none."""


def make(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the score of the last epoch of training and of the test at the fixed widths of each panel.

    Parameters
    ----------
    exhibit
        What to show.
    tables
        The study's tables `history`, `sweep` and `runs`; may be empty.

    Returns
    -------
    pandas.DataFrame
        Columns of the table `exhibit`, a row per panel, method, variant, set of images and width (largest first).
    """
    rows: list[dict[str, Any]] = []
    for panel in exhibit.panels:
        history, sweep, runs = (_rows(exhibit, tables[name], panel) for name in NEEDS)
        widths = _fixed_widths(exhibit, panel, history, sweep)
        for method in exhibit.methods:
            trained, swept = (frame[frame["method"] == method] for frame in (runs, sweep))
            seeds = sorted(trained["seed"].unique())
            final = _last_epoch(_without_failed(history[history["method"] == method], trained))
            for variant, label in variants_of(swept, trained, method):
                keys = exhibit_keys(exhibit, panel, method, label, variant)
                for images, frame in ((TRAIN, final), (panel.test_set, swept[swept["variant"] == variant])):
                    for width in widths:
                        values = _at_width(frame, width).set_index("seed")["score"].reindex(seeds)
                        rows.append(keys | {"test_set": images, "width_mult": width} | over_seeds(values))
    return with_paper_numbers(exhibit, pd.DataFrame(rows, columns=TABLES["exhibit"].names))


def layout(exhibit: Exhibit, frame: pd.DataFrame) -> list[Block]:
    """Return a block for each panel and set of images: methods down, widths across."""
    frame = frame.assign(row=frame["label"], width=[f"w = {width:.2f}" for width in frame["width_mult"]])
    what = f"{exhibit.metric.title}, {exhibit.metric.unit}"
    return [
        block(f"{IMAGES.get(str(images), images)} {what}: {row_title(*map(str, panel))}", "method", rows, "width",
              by_row=False, lower_is_better=not exhibit.metric.higher_is_better, words=exhibit.metric.words)
        for (*panel, images), rows in frame.groupby(["model", "dataset", "paper_dataset", "test_set"], sort=False)
    ]  # fmt: skip


def _rows(exhibit: Exhibit, frame: pd.DataFrame, panel: PanelConfig) -> pd.DataFrame:
    """Return a panel's rows of those methods that are shown."""
    rows = exhibit.rows_of(frame, panel)
    return rows[rows["method"].isin(exhibit.methods)]


def _fixed_widths(exhibit: Exhibit, panel: PanelConfig, history: pd.DataFrame, sweep: pd.DataFrame) -> list[float]:
    """Return the widths that some method of the panel was trained at; the paper's if nothing was trained."""
    widths = _rounded(sweep.loc[sweep["is_trained"].astype(bool), "width_mult"]) | _rounded(history["width_mult"])
    paper = exhibit.paper.widths(exhibit.short_name, dataset=panel.paper_dataset or panel.dataset, model=panel.model)
    return sorted(widths, reverse=True) or paper


def _rounded(widths: Iterable[float]) -> set[float]:
    return {round(float(width), 6) for width in widths if not pd.isna(width)}


def _without_failed(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the epochs of runs that did not end well."""
    for _, run in runs[runs["state"] != "ok"].iterrows():
        belongs = history["seed"] == run["seed"]
        if not pd.isna(run["individual_width"]):
            belongs &= history["width_mult"].round(6) == round(run["individual_width"], 6)
        history = history[~belongs]
    return history


def _last_epoch(history: pd.DataFrame) -> pd.DataFrame:
    return history.sort_values("epoch").drop_duplicates(["seed", "width_mult"], keep="last")


def _at_width(frame: pd.DataFrame, width_mult: float) -> pd.DataFrame:
    return frame[frame["width_mult"].astype(float).round(6) == width_mult]
