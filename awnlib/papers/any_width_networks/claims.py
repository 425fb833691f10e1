"""What the paper claims beside what was measured: one function a claim, over the tidy rows of one panel.

A function returns None where the rows lack the methods that its claim needs. Where the paper's numbers differ from
panel to panel (MobileNetV2's best is US-Net, LeNet-3C1L's AWN+RS), the claim is what they say for the panel at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import pandas as pd

from awnlib.papers.any_width_networks.own_checks import own_findings as own_findings
from awnlib.papers.any_width_networks.panels import (
    PAPER,
    PLAIN_WIDTH,
    auc_text,
    one_set_of_statistics,
    ordinary_methods,
    panels_of,
    shows_figure2,
    with_numbers,
)
from awnlib.papers.any_width_networks.smoothness import smoother
from awnlib.papers.any_width_networks.table1 import TABLE1_CHECKS
from awnlib.results.findings import Finding, Verdict, all_hold, joined
from awnlib.results.means import above, mean_of_row
from awnlib.results.paper_values import paper_values
from awnlib.results.renderers import over_all_widths
from awnlib.results.summaries import model_sizes
from awnlib.results.variants import parse_variant, recalibration_points
from awnlib.studies.widths.config import StudyConfig

NEAR_PAPER_PCT = 1.0  # percent of the network's size
TWENTY_WIDTHS = ("mobilenet_v2", 20, 18.5)  # network, sets of BN statistics, percent of its size: section 1
BETTER_BY = 1.75  # times, section 5.2
MORE_WIDTHS = ("full_width_triangular", "awn_2w", "awn_3w", "awn")  # trained at 1, 2, 3 and 4 widths
Check = Callable[[pd.DataFrame], Finding | None]


def paper_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check every claim of the paper that the tables of a study can decide.

    Parameters
    ----------
    study
        Says which methods figures 4 and 6 show.
    tables
        "evaluations", "runs" and "bn_drift", and "sweep", "table1" and "table2" as far as there are any.

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    return [
        (panel, finding)
        for checks, frame in _frames(study, tables)
        for panel, rows in panels_of(frame)
        for check in checks
        if (finding := check(rows))
    ]


def largest_auc(rows: pd.DataFrame) -> Finding | None:
    """Table 2: the method with the paper's largest AUC has the largest here; `rows` of its table."""
    return _extreme(rows, "largest", needed={"awn", "awn_rs", "us_net"})


def smallest_auc(rows: pd.DataFrame) -> Finding | None:
    """Table 2: the method with the paper's smallest AUC (always the S-Net) has the smallest here."""
    return _extreme(rows, "smallest", needed={"awn", "s_net"})


def more_recalibrated_widths(rows: pd.DataFrame) -> Finding | None:
    """Table 2: a US-Net improves with every step in the number of recalibrated widths; `rows` of its table."""
    us_nets = rows[rows["method"] == "us_net"].dropna(subset="score")
    known = us_nets["variant"].map(parse_variant)
    differs = known.map(lambda variant: bool(variant.own) or variant.slimmed).astype(bool)  # in more than the widths
    ordered = us_nets[~differs].sort_values("variant", key=lambda names: names.map(recalibration_points))
    return _rising("Table 2", "US-Net improves with the number of recalibrated widths", ordered)


def sampled_widths(rows: pd.DataFrame) -> Finding | None:
    """Table 2: AWN+RS is above AWN, or below it where the paper's numbers say so; `rows` of its table."""
    cells = {row["method"]: row for _, row in with_numbers(rows).iterrows()}
    if not {"awn", "awn_rs"} <= set(cells):
        return None
    fixed, sampled = cells["awn"], cells["awn_rs"]
    helps = sampled["paper_score"] > fixed["paper_score"]
    better, worse = (sampled, fixed) if helps else (fixed, sampled)
    claim = f"Sampling widths {'helps' if helps else 'does not help here'}: {better['label']} is above {worse['label']}"
    return Finding("Table 2", claim, _above(better, worse), f"{auc_text(better)}; {auc_text(worse)}")


def smaller_footprint(rows: pd.DataFrame) -> Finding | None:
    """Table 1, caption: an AWN of the S-Net's channels stores less than it; `rows` of ``findings.model_sizes``."""
    stored = rows.set_index("method")["params_stored"].dropna()
    if not {PLAIN_WIDTH, "s_net"} <= set(stored.index):
        return None
    ours, other = (float(stored[name]) for name in (PLAIN_WIDTH, "s_net"))
    numbers = f"AWN {ours:,.0f} numbers, S-Net {other:,.0f}: {100 * (ours / other - 1):+.1f} %"
    return Finding(
        "Table 1", "With as many channels, AWN stores less than the S-Net", all_hold([ours < other]), numbers
    )


def more_trained_widths(rows: pd.DataFrame) -> Finding | None:
    """Figure 4: the AUC of triangular networks rises with the number of trained widths; `rows` as of "table2"."""
    found = rows[rows["method"].isin(MORE_WIDTHS)].dropna(subset="score")
    ordered = found.sort_values("method", key=lambda names: names.map(MORE_WIDTHS.index))
    return _rising("Figure 4", "AUC rises with the number of trained widths", ordered)


def triangular_degrades_less(rows: pd.DataFrame) -> Finding | None:
    """Figure 6: trained at full width alone, triangular layers keep a larger AUC; `rows` as of "table2"."""
    both = _full_width(rows)
    if both is None:
        return None
    claim = "Trained at full width alone, triangular layers keep a larger AUC than dense ones"
    return Finding("Figure 6", claim, _above(*both), "; ".join(map(auc_text, both)))


def triangular_is_75_percent_better(rows: pd.DataFrame) -> Finding | None:
    """Section 5.2: they "perform 75% better", 35.85 to 20.51; taken as at least that; `rows` as of "table2"."""
    both = _full_width(rows)
    if both is None:
        return None
    triangular, dense = map(mean_of_row, both)
    claim = "Trained at full width alone, triangular layers keep an AUC that is larger by 75 %"
    numbers = f"{auc_text(both[0])}; {auc_text(both[1])}: {100 * (triangular.value / dense.value - 1):+.0f} %"
    return Finding("Section 5.2", claim, above(triangular, dense.times(BETTER_BY)), numbers)


def size_of_statistics(rows: pd.DataFrame) -> Finding | None:
    """Section 5.1: what a US-Net's sets of BN statistics add to its size; `rows` of ``findings.model_sizes``."""
    both = rows.dropna(subset=["extra_pct", "paper_extra_pct"])
    if both.empty:
        return None
    cells = list(both[["label", "extra_pct", "paper_extra_pct"]].itertuples(index=False, name=None))
    claim = "BN statistics for many widths add " + ", ".join(f"{paper:.0f} % ({label})" for label, _, paper in cells)
    holds = [abs(ours - paper) <= NEAR_PAPER_PCT for _, ours, paper in cells]
    numbers = ", ".join(f"{label} {ours:+.1f} %" for label, ours, _ in cells)
    return Finding("Section 5.1", claim, all_hold(holds), numbers)


def size_at_twenty_widths(rows: pd.DataFrame) -> Finding | None:
    """Section 1: 20 sets of BN statistics add 18.5 % to a MobileNetV2; `rows` of ``findings.model_sizes``."""
    model, switches, paper = TWENTY_WIDTHS
    found = rows[(rows["model"] == model) & (rows["num_switches"] == switches)].dropna(subset="extra_pct")
    if found.empty:
        return None
    ours = float(found["extra_pct"].iloc[0])
    claim = f"Training MobileNetV2 at {switches} widths adds {paper} % to its size"
    return Finding("Section 1", claim, all_hold([abs(ours - paper) <= NEAR_PAPER_PCT]), f"{ours:+.1f} %")


AUC_CHECKS: tuple[Check, ...] = (
    largest_auc,
    smallest_auc,
    more_recalibrated_widths,
    sampled_widths,
)


def _frames(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[Sequence[Check], pd.DataFrame]]:
    """Yield the claims and the table that decides them."""
    if f"{PAPER}.table2" in tables:
        yield AUC_CHECKS, tables[f"{PAPER}.table2"]
    if f"{PAPER}.table1" in tables:
        yield TABLE1_CHECKS, tables[f"{PAPER}.table1"]
    full_width = (triangular_degrades_less, triangular_is_75_percent_better)
    for figure, checks in ((f"{PAPER}.figure4", (more_trained_widths,)), (f"{PAPER}.figure6", full_width)):
        if figure in study.exhibits:
            yield checks, over_all_widths.make(study.exhibit(figure), tables)
    if "sweep" in tables:
        yield (smoother,), _primary(tables["sweep"])
    statistics = partial(one_set_of_statistics, ordinary=ordinary_methods(study), source="Figure 2")
    yield (statistics,), tables["bn_drift"][shows_figure2(study, tables["bn_drift"])]
    sizes = model_sizes(tables["evaluations"], tables["runs"], paper_values(PAPER))
    yield (smaller_footprint, size_of_statistics, size_at_twenty_widths), sizes


def _primary(sweep: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the accuracies that are summarised: the first test set and metric."""
    first = sweep[["test_set", "metric"]].iloc[:1]
    return sweep.merge(first, on=["test_set", "metric"])


def _full_width(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series] | None:
    """Return the rows of the triangular and of the dense network that were trained at full width alone."""
    cells = {row["method"]: row for _, row in rows.dropna(subset="score").iterrows()}
    names = ("full_width_triangular", "full_width_dense")
    return (cells[names[0]], cells[names[1]]) if set(names) <= set(cells) else None


def _extreme(rows: pd.DataFrame, which: Literal["largest", "smallest"], needed: Collection[str]) -> Finding | None:
    both = with_numbers(rows)
    if not set(needed) <= set(both["method"]):
        return None
    upwards = which == "smallest"
    first = both.sort_values("paper_score", ascending=upwards).iloc[0]
    rival = both[both["label"] != first["label"]].sort_values("score", ascending=upwards).iloc[0]
    verdict = _above(first, rival) if which == "largest" else _above(rival, first)
    numbers = f"{auc_text(first)}; {which} of the others: {auc_text(rival)}"
    return Finding("Table 2", f"{first['label']} has the {which} AUC", verdict, numbers)


def _rising(source: str, claim: str, ordered: pd.DataFrame) -> Finding | None:
    """Check that every row's AUC is above that of the row before."""
    if len(ordered) < 2:
        return None
    cells = [row for _, row in ordered.iterrows()]
    verdict = joined([_above(second, first) for first, second in pairwise(cells)])
    return Finding(source, claim, verdict, "; ".join(map(auc_text, cells)))


def _above(first: pd.Series, second: pd.Series) -> Verdict:
    """Return whether an AUC row is above another."""
    return above(mean_of_row(first), mean_of_row(second))
