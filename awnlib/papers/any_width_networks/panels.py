"""What claims and our own checks are given: the rows of one panel, and which panels are the paper's."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pandas as pd

from awnlib.results.blocks import row_title
from awnlib.results.findings import Finding, all_hold
from awnlib.results.numbers import with_spread
from awnlib.results.summaries import worst_drift
from awnlib.results.titles import panel_title
from awnlib.studies.widths.config import StudyConfig

PAPER = "any_width_networks"
PLAIN_WIDTH = "awn_plain_width"  # Table 1 and Figure 2 compare networks of equal channel counts
FIGURE2_DATASET = "mnist"
ONE_SET_SERVES = 0.01  # BN drift, pooled standard deviations; 0 by design in triangular networks


def panels_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the rows of each panel."""
    title = row_title if "paper_dataset" in frame else panel_title
    keys = [name for name in ("model", "dataset", "paper_dataset") if name in frame]
    if not frame.empty:
        yield from ((title(*map(str, panel)), rows) for panel, rows in frame.groupby(keys, sort=False))


def with_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a number of ours and one of the paper."""
    return rows.dropna(subset=["score", "paper_score"])


def auc_text(row: pd.Series) -> str:
    """Return one AUC in words: ``AWN 90.42 ± 0.10 (paper 90.67, -0.25)``."""
    paper = "" if pd.isna(row["paper_score"]) else f" (paper {row['paper_score']:.2f}, {row['difference']:+.2f})"
    return f"{row['label']} {with_spread(row['score'], row['std'])}{paper}"


def shows_figure2(study: StudyConfig, frame: pd.DataFrame) -> pd.Series:
    """Return which rows are of a panel that stands for the one of Figure 2: MNIST's."""
    figure = study.exhibits.get(f"{PAPER}.figure2")
    panels = [] if figure is None else figure.panels
    kept = {(one.model, one.dataset) for one in panels if (one.paper_dataset or one.dataset) == FIGURE2_DATASET}
    names = zip(frame["model"], frame["dataset"], strict=True)
    return pd.Series([name in kept for name in names], index=frame.index, dtype=bool)


def ordinary_methods(study: StudyConfig) -> list[str]:
    """Return the methods that train several widths of one network whose layers are not triangular."""
    methods = study.resolved_methods().items()
    sliced = {name: method for name, method in methods if method.layer == "sliced"}
    return [name for name, method in sliced.items() if not method.individual and method.num_widths != 1]


def one_set_of_statistics(rows: pd.DataFrame, ordinary: Collection[str], source: str) -> Finding | None:
    """Return whether one set of BN statistics serves all widths of AWN, not of the methods with `ordinary` layers.

    `rows` of "bn_drift".
    """
    awn, others = (worst_drift(rows[rows["method"].isin(names)]) for names in ((PLAIN_WIDTH, "awn"), ordinary))
    if awn.empty or others.empty:
        return None
    claim = "One set of BN statistics serves every width of AWN, but not of networks with ordinary layers"
    worst = pd.concat([awn, others])
    numbers = [f"{label} {drift:.3f}" for label, drift in zip(worst["label"], worst["drift"], strict=True)]
    holds = [(awn["drift"] < ONE_SET_SERVES).all(), (others["drift"] >= ONE_SET_SERVES).all()]
    return Finding(source, claim, all_hold(holds), f"drift of the worst layer: {', '.join(numbers)}")
