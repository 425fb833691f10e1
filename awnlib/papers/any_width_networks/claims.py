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

from awnlib.results.blocks import row_title
from awnlib.results.findings import Finding, Verdict, above, all_hold
from awnlib.results.numbers import mean_with_spread, with_spread
from awnlib.results.paper_values import paper_values
from awnlib.results.renderers import over_all_widths
from awnlib.results.renderers.at_trained_widths import TRAIN
from awnlib.results.summaries import model_sizes, one_row_each, worst_drift
from awnlib.results.titles import panel_title
from awnlib.results.variants import parse_variant, recalibration_points
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.methods import FOR_READERS

PAPER = "any_width_networks"
NEAR_PAPER = 1.0  # percentage points; for sizes, percent of the network
COLLAPSE = 1.0  # percentage points from training to test accuracy; the paper's Table 1 has 2.4 at width 0.5
NEAR_S_NET = 0.5  # percentage points; the paper's Table 1 has 0.26
ONE_SET_SERVES = 0.01  # BN drift, pooled standard deviations; 0 by design in triangular networks
MORE_WIDTHS = ("full_width_triangular", "awn_2w", "awn_3w", "awn")  # trained at 1, 2, 3 and 4 widths
PLAIN_WIDTH = "awn_plain_width"  # Table 1 and Figure 2 compare networks of equal channel counts


Check = Callable[[pd.DataFrame], Finding | None]


def paper_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check every claim of the paper that the tables of a study can decide.

    Parameters
    ----------
    study
        Says which methods figures 4 and 6 show.
    tables
        "evaluations", "runs" and "bn_drift", and "table1" and "table2" as far as the study has them.

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    return [
        (panel, finding)
        for checks, frame in _frames(study, tables)
        for panel, rows in _panels(frame)
        for check in checks
        if (finding := check(rows))
    ]


def own_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check our own questions, panel by panel.

    Whether training every width at once (AWN-all) gives a larger AUC than AWN and AWN+RS, and whether the channels of a
    width vector give a larger one than the same method without.

    Parameters
    ----------
    study
        Says which methods have a width vector.
    tables
        "evaluations".

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    pairs = [("awn_all", "awn"), ("awn_all", "awn_rs"), *_optimised_methods(study)]
    panels = list(_panels(one_row_each(tables["evaluations"])))
    found = [(panel, larger_auc(rows, *pair)) for panel, rows in panels for pair in pairs]
    return [(panel, finding) for panel, finding in found if finding]


def largest_auc(rows: pd.DataFrame) -> Finding | None:
    """Table 2: the method with the paper's largest AUC has the largest here; `rows` of its table."""
    return _extreme(rows, "largest", needed={"awn", "awn_rs", "us_net"})


def smallest_auc(rows: pd.DataFrame) -> Finding | None:
    """Table 2: the method with the paper's smallest AUC (always the S-Net) has the smallest here."""
    return _extreme(rows, "smallest", needed={"awn", "s_net"})


def near_the_paper(rows: pd.DataFrame, method: str) -> Finding | None:
    """Table 2: one method reaches the paper's AUC, give or take a point; `rows` of its table."""
    found = _with_numbers(rows).query("method == @method")
    if found.empty:
        return None
    row = found.iloc[0]
    claim = f"{row['label']} is within {NEAR_PAPER:g} point of the paper's AUC"
    return Finding("Table 2", claim, all_hold([abs(row["difference"]) <= NEAR_PAPER]), _auc(row))


def more_recalibrated_widths(rows: pd.DataFrame) -> Finding | None:
    """Table 2: a US-Net improves with every step in the number of recalibrated widths; `rows` of its table."""
    us_nets = rows[rows["method"] == "us_net"].dropna(subset="score")
    known = us_nets["variant"].map(parse_variant)
    differs = known.map(lambda variant: bool(variant.own) or variant.slimmed).astype(bool)  # in more than the widths
    ordered = us_nets[~differs].sort_values("variant", key=lambda names: names.map(recalibration_points))
    return _rising("Table 2", "US-Net improves with the number of recalibrated widths", ordered)


def sampled_widths(rows: pd.DataFrame) -> Finding | None:
    """Table 2: AWN+RS is above AWN, or below it where the paper's numbers say so; `rows` of its table."""
    cells = {row["method"]: row for _, row in _with_numbers(rows).iterrows()}
    if not {"awn", "awn_rs"} <= set(cells):
        return None
    fixed, sampled = cells["awn"], cells["awn_rs"]
    helps = sampled["paper_score"] > fixed["paper_score"]
    better, worse = (sampled, fixed) if helps else (fixed, sampled)
    claim = f"Sampling widths {'helps' if helps else 'does not help here'}: {better['label']} is above {worse['label']}"
    return Finding("Table 2", claim, _above(better, worse), f"{_auc(better)}; {_auc(worse)}")


def ordinary_bn(rows: pd.DataFrame) -> Finding | None:
    """Table 1: with ordinary BN, test accuracy collapses at a narrow width and training accuracy does not."""
    gaps = _train_minus_test(rows, "shared_bn", "score")
    if gaps.empty:
        return None
    paper = _worst(_train_minus_test(rows, "shared_bn", "paper_score"))
    claim = f"With ordinary BN, test accuracy at a narrow width falls over {COLLAPSE:g} point below training accuracy"
    numbers = f"training minus test accuracy is largest at {_worst(gaps)}" + (f" (paper: {paper})" if paper else "")
    return Finding("Table 1", claim, all_hold([gaps.max() > COLLAPSE]), numbers)


def near_the_s_net(rows: pd.DataFrame) -> Finding | None:
    """Table 1: the test accuracy of an AWN of the S-Net's channels is nowhere far below its; `rows` of "table1"."""
    behind = _s_net_minus_awn(rows, "score")
    if behind.empty:
        return None
    paper = _worst(_s_net_minus_awn(rows, "paper_score"))
    claim = f"With as many channels, AWN's test accuracy is at no width over {NEAR_S_NET:g} points below the S-Net's"
    numbers = f"S-Net minus AWN is largest at {_worst(behind)}" + (f" (paper: {paper})" if paper else "")
    return Finding("Table 1", claim, all_hold([behind.max() <= NEAR_S_NET]), numbers)


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
    cells = {row["method"]: row for _, row in rows.dropna(subset="score").iterrows()}
    if not {"full_width_triangular", "full_width_dense"} <= set(cells):
        return None
    triangular, dense = (cells[f"full_width_{layers}"] for layers in ("triangular", "dense"))
    claim = "Trained at full width alone, triangular layers keep a larger AUC than dense ones"
    return Finding("Figure 6", claim, _above(triangular, dense), f"{_auc(triangular)}; {_auc(dense)}")


def one_set_of_statistics(rows: pd.DataFrame, ordinary: Collection[str]) -> Finding | None:
    """Figure 2: one set of BN statistics serves all widths of AWN, not of the methods with `ordinary` layers.

    `rows` of "bn_drift".
    """
    awn, others = (worst_drift(rows[rows["method"].isin(names)]) for names in ((PLAIN_WIDTH, "awn"), ordinary))
    if awn.empty or others.empty:
        return None
    claim = "One set of BN statistics serves every width of AWN, but not of networks with ordinary layers"
    worst = pd.concat([awn, others])
    numbers = [f"{label} {drift:.3f}" for label, drift in zip(worst["label"], worst["drift"], strict=True)]
    holds = [(awn["drift"] < ONE_SET_SERVES).all(), (others["drift"] >= ONE_SET_SERVES).all()]
    return Finding("Figure 2", claim, all_hold(holds), f"drift of the worst layer: {', '.join(numbers)}")


def size_of_statistics(rows: pd.DataFrame) -> Finding | None:
    """Section 5.1: what a US-Net's sets of BN statistics add to its size; `rows` of ``findings.model_sizes``."""
    both = rows.dropna(subset=["extra_pct", "paper_extra_pct"])
    if both.empty:
        return None
    cells = list(both[["label", "extra_pct", "paper_extra_pct"]].itertuples(index=False, name=None))
    claim = "BN statistics for many widths add " + ", ".join(f"{paper:.0f} % ({label})" for label, _, paper in cells)
    holds = [abs(ours - paper) <= NEAR_PAPER for _, ours, paper in cells]
    numbers = ", ".join(f"{label} {ours:+.1f} %" for label, ours, _ in cells)
    return Finding("Section 5.1", claim, all_hold(holds), numbers)


def larger_auc(rows: pd.DataFrame, method: str, other: str) -> Finding | None:
    """Our questions: one method has a larger AUC than another, seed by seed; `rows` of "evaluations"."""
    good = rows[(rows["state"] == "ok") & rows["method"].isin([method, other])]
    if good["method"].nunique() < 2:
        return None
    aucs = good.pivot_table(index="seed", columns="method", values="score").dropna()
    if aucs.empty:
        return None
    pairs = aucs[method] - aucs[other]
    label, other_label = (good.loc[good["method"] == name, "label"].iloc[0] for name in (method, other))
    means = f"{label} {mean_with_spread(aucs[method])}, {other_label} {mean_with_spread(aucs[other])}"
    numbers = (
        f"{means}; difference {mean_with_spread(pairs, '+.2f')} over {_count(len(pairs), 'seed')}, "
        f"above in {sum(pairs > 0)}: " + ", ".join(f"{pair:+.2f} (seed {seed})" for seed, pair in pairs.items())
    )
    verdict: Verdict = "undecided" if 0 < sum(pairs > 0) < len(pairs) else all_hold(pairs > 0)
    return Finding("awnlib", f"{label} has a larger AUC than {other_label}", verdict, numbers)


AUC_CHECKS: tuple[Check, ...] = (
    largest_auc,
    smallest_auc,
    partial(near_the_paper, method="awn"),
    partial(near_the_paper, method="awn_rs"),
    more_recalibrated_widths,
    sampled_widths,
)


def _optimised_methods(study: StudyConfig) -> list[tuple[str, str]]:
    """Return pairs of methods that differ in nothing but the channels: one with a width vector, one without."""
    methods = study.resolved_methods()
    settings = {name: method.model_dump(exclude={*FOR_READERS, "width_vector"}) for name, method in methods.items()}
    return [
        (name, other)
        for name, method in methods.items()
        for other, plain in methods.items()
        if method.width_vector and not plain.width_vector and settings[name] == settings[other]
    ]


def _ordinary_methods(study: StudyConfig) -> list[str]:
    """Return the methods that train several widths of one network whose layers are not triangular."""
    methods = study.resolved_methods().items()
    sliced = {name: method for name, method in methods if method.layer == "sliced"}
    return [name for name, method in sliced.items() if not method.individual and method.num_widths != 1]


def _frames(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[Sequence[Check], pd.DataFrame]]:
    """Yield the claims and the table that decides them."""
    if f"{PAPER}.table2" in tables:
        yield AUC_CHECKS, tables[f"{PAPER}.table2"]
    if f"{PAPER}.table1" in tables:
        yield (ordinary_bn, near_the_s_net), tables[f"{PAPER}.table1"]
    for figure, check in ((f"{PAPER}.figure4", more_trained_widths), (f"{PAPER}.figure6", triangular_degrades_less)):
        if figure in study.exhibits:
            yield (check,), over_all_widths.make(study.exhibit(figure), tables)
    yield (partial(one_set_of_statistics, ordinary=_ordinary_methods(study)),), tables["bn_drift"]
    sizes = model_sizes(tables["evaluations"], tables["runs"], paper_values(PAPER))
    yield (smaller_footprint, size_of_statistics), sizes


def _panels(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the rows of each panel."""
    title = row_title if "paper_dataset" in frame else panel_title
    keys = [name for name in ("model", "dataset", "paper_dataset") if name in frame]
    for panel, rows in frame.groupby(keys, sort=False):
        yield title(*map(str, panel)), rows


def _extreme(rows: pd.DataFrame, which: Literal["largest", "smallest"], needed: Collection[str]) -> Finding | None:
    both = _with_numbers(rows)
    if not set(needed) <= set(both["method"]):
        return None
    upwards = which == "smallest"
    first = both.sort_values("paper_score", ascending=upwards).iloc[0]
    rival = both[both["label"] != first["label"]].sort_values("score", ascending=upwards).iloc[0]
    verdict = _above(first, rival) if which == "largest" else _above(rival, first)
    numbers = f"{_auc(first)}; {which} of the others: {_auc(rival)}"
    return Finding("Table 2", f"{first['label']} has the {which} AUC", verdict, numbers)


def _rising(source: str, claim: str, ordered: pd.DataFrame) -> Finding | None:
    """Check that every row's AUC is above that of the row before."""
    if len(ordered) < 2:
        return None
    steps = [second > first for first, second in pairwise(ordered["score"])]
    return Finding(source, claim, all_hold(steps), "; ".join(_auc(row) for _, row in ordered.iterrows()))


def _above(first: pd.Series, second: pd.Series) -> Verdict:
    """Compare two AUC rows; apart by less than their standard deviations together, they are not told apart."""
    return above(first["score"] - second["score"], first["std"], second["std"])


def _with_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a number of ours and one of the paper."""
    return rows.dropna(subset=["score", "paper_score"])


def _accuracies(rows: pd.DataFrame, method: str, images: str, column: str) -> pd.Series:
    """Return a method's accuracy by width from rows of "table1"."""
    found = rows[(rows["method"] == method) & ((rows["test_set"] == TRAIN) == (images == TRAIN))]
    return found.set_index("width_mult")[column].astype(float)


def _train_minus_test(rows: pd.DataFrame, method: str, column: str) -> pd.Series:
    train, test = (_accuracies(rows, method, part, column) for part in (TRAIN, "test"))
    gaps = (train - test).dropna()
    return gaps[gaps.index < 1]


def _s_net_minus_awn(rows: pd.DataFrame, column: str) -> pd.Series:
    s_net, awn = (_accuracies(rows, method, "test", column) for method in ("s_net", PLAIN_WIDTH))
    return (s_net - awn).dropna()


def _worst(points: pd.Series) -> str:
    return "" if points.empty else f"w = {points.idxmax():.2f}: {points.max():+.2f} points"


def _auc(row: pd.Series) -> str:
    """Return one AUC in words: ``AWN 90.42 ± 0.10 (paper 90.67, -0.25)``."""
    paper = "" if pd.isna(row["paper_score"]) else f" (paper {row['paper_score']:.2f}, {row['difference']:+.2f})"
    return f"{row['label']} {with_spread(row['score'], row['std'])}{paper}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
