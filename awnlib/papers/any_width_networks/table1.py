"""The claims about Table 1 and its text (section 3.2): the accuracy at each width with ordinary BN, S-Net's and AWN's.

Each is given the rows of "table1" of one panel.
"""

from __future__ import annotations

import pandas as pd

from awnlib.papers.any_width_networks.panels import PLAIN_WIDTH
from awnlib.results.findings import Finding, joined
from awnlib.results.means import OF_ONE_SEED_PCT, Mean, above, mean_of_row
from awnlib.results.numbers import with_spread
from awnlib.results.renderers.at_trained_widths import TRAIN

COLLAPSE_PCT = 1.0  # percentage points from training to test accuracy; the paper's Table 1 has 2.4 at width 0.5
NEAR_S_NET_PCT = 0.5  # percentage points, for "only slightly worse"; the paper's Table 1 has 0.26


def ordinary_bn(rows: pd.DataFrame) -> Finding | None:
    """Return whether, with ordinary BN, test accuracy collapses at a narrow width and training accuracy does not."""
    train, test = (_by_width(rows, "shared_bn", images) for images in (TRAIN, "test"))
    gaps = {width: train[width].value - test[width].value for width in test if width in train and width < 1}
    if not gaps:
        return None
    width = max(gaps, key=lambda one: gaps[one])
    claim = f"With ordinary BN, test accuracy at a narrow width is over {COLLAPSE_PCT:g} point below training accuracy"
    numbers = f"training minus test accuracy is largest at {_worst(gaps)}{_paper_gap(rows, 'shared_bn')}"
    return Finding("Table 1", claim, above(train[width], test[width], by=COLLAPSE_PCT), numbers)


def three_quarters_beat_full(rows: pd.DataFrame) -> Finding | None:
    """Return whether, with ordinary BN, three quarters of the width are better than the full width (section 3.2)."""
    test = _by_width(rows, "shared_bn", "test")
    if not {0.75, 1.0} <= set(test):
        return None
    numbers = ", ".join(f"w = {width:g}: {_text(test[width])}" for width in (0.75, 1.0))
    paper = _paper(rows, "shared_bn", "test")
    claim = "With ordinary BN, three quarters of the width test better than the full width"
    return Finding(
        "Section 3.2", claim, above(test[0.75], test[1.0]), numbers + _paper_text(paper.get(0.75), paper.get(1.0))
    )


def lower_overall(rows: pd.DataFrame) -> Finding | None:
    """Return whether ordinary BN tests worse than the S-Net on average over the widths (section 3.2)."""
    plain, s_net = (_by_width(rows, method, "test") for method in ("shared_bn", "s_net"))
    widths = [width for width in plain if width in s_net]
    if not widths:
        return None
    first, second = (_over(means, widths) for means in (s_net, plain))
    claim = "With ordinary BN, test accuracy is lower overall than the S-Net's"
    numbers = f"mean over the widths: Standard BN {_text(second)}, S-Net {_text(first)}"
    paper = _paper_text(*(_paper(rows, method, "test").mean() for method in ("shared_bn", "s_net")))
    return Finding("Section 3.2", claim, above(first, second), numbers + paper)


def near_the_s_net(rows: pd.DataFrame) -> Finding | None:
    """Return whether the test accuracy of an AWN of the S-Net's channels is nowhere far below its (caption)."""
    s_net, awn = (_by_width(rows, method, "test") for method in ("s_net", PLAIN_WIDTH))
    behind = {width: s_net[width].value - awn[width].value for width in s_net if width in awn}
    if not behind:
        return None
    claim = f"With as many channels, AWN tests at no width over {NEAR_S_NET_PCT:g} points below the S-Net"
    verdict = joined([above(awn[width], s_net[width], by=-NEAR_S_NET_PCT) for width in behind])
    paper = _worst(_paper_minus(rows, ("s_net", "test"), (PLAIN_WIDTH, "test")))
    numbers = f"S-Net minus AWN is largest at {_worst(behind)}" + (f" (paper: {paper})" if paper else "")
    return Finding("Table 1", claim, verdict, numbers)


TABLE1_CHECKS = (ordinary_bn, three_quarters_beat_full, lower_overall, near_the_s_net)


def _of(rows: pd.DataFrame, method: str, images: str) -> pd.DataFrame:
    """Return a method's rows; `images` is `TRAIN` or "test", whatever the test set is called."""
    return rows[(rows["method"] == method) & ((rows["test_set"] == TRAIN) == (images == TRAIN))]


def _by_width(rows: pd.DataFrame, method: str, images: str) -> dict[float, Mean]:
    found = _of(rows, method, images).dropna(subset="score")
    return {float(row["width_mult"]): mean_of_row(row) for _, row in found.iterrows()}


def _over(means: dict[float, Mean], widths: list[float]) -> Mean:
    """Return the mean over widths, as uncertain as one of them is on average: the widths of one network go together."""
    found = [means[width] for width in widths]
    value, std = (sum(getattr(mean, name) for mean in found) / len(found) for name in ("value", "std"))
    return Mean(value, std, min(mean.num_seeds for mean in found), OF_ONE_SEED_PCT)


def _paper(rows: pd.DataFrame, method: str, images: str) -> pd.Series:
    """Return the paper's accuracies by width."""
    return _of(rows, method, images).set_index("width_mult")["paper_score"].astype(float)


def _paper_text(*values: float | None) -> str:
    return (
        ""
        if any(value is None or pd.isna(value) for value in values)
        else (f" (paper: {', '.join(f'{value:.2f}' for value in values)})")
    )


def _paper_minus(rows: pd.DataFrame, first: tuple[str, str], second: tuple[str, str]) -> dict[float, float]:
    one, other = (_paper(rows, *which) for which in (first, second))
    return {float(str(width)): float(gap) for width, gap in (one - other).dropna().items()}


def _paper_gap(rows: pd.DataFrame, method: str) -> str:
    gaps = _paper_minus(rows, (method, TRAIN), (method, "test"))
    worst = _worst({width: gap for width, gap in gaps.items() if width < 1})
    return f" (paper: {worst})" if worst else ""


def _worst(points: dict[float, float]) -> str:
    if not points:
        return ""
    width = max(points, key=lambda one: points[one])
    return f"w = {width:.2f}: {points[width]:+.2f} points"


def _text(mean: Mean) -> str:
    return with_spread(mean.value, mean.std)
