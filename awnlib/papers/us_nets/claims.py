"""What the paper claims beside what was measured: one function a claim, over the rows of one panel of a table.

A function returns None where the rows lack the methods that its claim needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from awnlib.channels import ROUNDING
from awnlib.evaluation.auc import auc_pct
from awnlib.papers.us_nets import agents
from awnlib.papers.us_nets.image_claims import as_good_as_individual, distillation_helps_images
from awnlib.papers.us_nets.image_claims import own_findings as own_findings
from awnlib.results.blocks import row_title
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit
from awnlib.results.findings import Finding, Verdict, joined
from awnlib.results.means import Mean, above, alike, exact, mean_of_row
from awnlib.results.numbers import with_spread
from awnlib.results.renderers import over_all_widths
from awnlib.results.seeds import exhibit_keys, over_seeds
from awnlib.results.variants import AS_TRAINED, Averaging, parse_variant
from awnlib.studies.widths.config import StudyConfig

PAPER = "us_nets"
PANEL = ["model", "dataset", "paper_dataset", "test_set"]
ONE_TENTH = 0.1  # percentage points: by as much the ways of computing statistics differ in Table 3
ALIKE = 0.5  # percentage points: "very similar" (figure 9)
FAILS = 10.0  # percentage points below its full width: a network that "fails to run" at half its width (section 6)
Check = Callable[[pd.DataFrame], Finding | None]
Measure = Callable[[Sequence[float], Sequence[float]], float]  # of the widths and scores of a curve


def paper_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check every claim of the paper that the tables of a study can decide.

    Parameters
    ----------
    study
        Says which methods its figures show.
    tables
        "evaluations", the study's tables of this paper, and "sweep" for what two widths or ranges of widths decide.

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    return [
        (row_title(*map(str, panel)), finding)
        for checks, frame in _frames(study, tables)
        for panel, rows in frame.groupby(PANEL, sort=False)
        for check in checks
        if (finding := check(rows)) is not None
    ]


def better_than_individual(rows: pd.DataFrame) -> Finding | None:
    """Table 1: over the widths together, one US-Net has a smaller error than individual networks."""
    return _smaller_error(_means(rows), "us_net", "i_net", "Table 1", "on average over the widths")


def better_than_slimmable(rows: pd.DataFrame) -> Finding | None:
    """Table 1: over the widths together, a US-Net has a smaller error than a slimmable network of these widths."""
    return _smaller_error(_means(rows), "us_net", "s_net", "Table 1", "on average over the widths")


def gains_most_when_narrow(rows: pd.DataFrame) -> Finding | None:
    """Table 1: what a US-Net gains over individual networks is largest at the smallest width."""
    scored = rows[rows["width_mult"].notna()].dropna(subset="score")
    us_net, i_net = (scored[scored["method"] == name].set_index("width_mult") for name in ("us_net", "i_net"))
    widths = sorted(set(us_net.index) & set(i_net.index))
    if len(widths) < 2:
        return None
    gains = {width: mean_of_row(i_net.loc[width]).minus(mean_of_row(us_net.loc[width])) for width in widths}
    verdict = joined([above(gains[widths[0]], gains[width]) for width in widths[1:]])
    numbers = ", ".join(f"{width:g}x {gain.value:+.2f}" for width, gain in gains.items())
    claim = "The gain over individual networks is largest at the smallest width"
    return Finding("Table 1", claim, verdict, f"gains in points: {numbers}")


def sandwich_is_best(rows: pd.DataFrame) -> Finding | None:
    """Table 2: the sandwich rule has the smallest error on average over the widths."""
    means = _means(rows)
    others = [name for name in means if name in ("us_net_random", "us_net_min_random", "us_net_max_random")]
    if "us_net_3_hard" not in means or not others:
        return None
    verdicts = [_below(means["us_net_3_hard"], means[name]) for name in others]
    numbers = "; ".join(_text(means[name]) for name in ("us_net_3_hard", *others))
    return Finding("Table 2", "The sandwich rule has the smallest error on average", joined(verdicts), numbers)


def smallest_matters_more(rows: pd.DataFrame) -> Finding | None:
    """Table 2: training the smallest width in every step matters more than training the largest."""
    return _smaller_error(
        _means(rows), "us_net_min_random", "us_net_max_random", "Table 2", "on average over the widths"
    )


def few_images_are_enough(rows: pd.DataFrame) -> Finding | None:
    """Table 3: statistics from a subset of the images give the errors that all of them give."""
    errors = _by_variant(rows)
    exact = {images: error for (averaging, images), error in errors.items() if averaging != "moving"}
    if len(exact) < 2:
        return None
    most = max(exact, key=lambda images: images or float("inf"))
    fewer = {images: error for images, error in exact.items() if images != most}
    verdict = joined(
        [alike(error[width], exact[most][width], ONE_TENTH) for error in fewer.values() for width in error]
    )
    gaps = {images: max(abs(_gain(error, exact[most]))) for images, error in fewer.items()}
    numbers = ", ".join(f"{images:,} images: at most {gap:.2f} points apart" for images, gap in gaps.items())
    claim = f"A subset of the images gives statistics as good as the most, to {ONE_TENTH:g} point at each width"
    return Finding("Table 3", claim, verdict, numbers)


def exact_is_no_worse(rows: pd.DataFrame) -> Finding | None:
    """Table 3: exact averages are at least as good as moving ones at every width."""
    errors = _by_variant(rows)
    moving = [error for (averaging, _), error in errors.items() if averaging == "moving"]
    exact = [error for (averaging, _), error in errors.items() if averaging != "moving"]
    if not moving or not exact:
        return None
    numbers = ", ".join(f"{width:g}x {gain:+.2f}" for width, gain in _gain(moving[0], exact[0]).items())
    verdict = joined([above(moving[0][width], exact[0][width], by=-ONE_TENTH) for width in exact[0]])
    claim = f"Exact averages are at most {ONE_TENTH:g} point worse than moving ones"
    return Finding("Table 3", claim, verdict, f"gains: {numbers}")


def distillation_helps(rows: pd.DataFrame) -> Finding | None:
    """Figure 6: in-place distillation improves the accuracy over all widths together."""
    return _larger_score(rows, "us_net", "us_net_hard", "Figure 6", "In-place distillation improves the AUC")


def four_widths_beat_three(rows: pd.DataFrame) -> Finding | None:
    """Figure 9: four widths in each step are better than three."""
    return _larger_score(rows, "us_net", "us_net_3", "Figure 9", "Four widths in each step are better than three")


def five_widths_are_as_good(rows: pd.DataFrame) -> Finding | None:
    """Figure 9: four and five widths perform very similarly."""
    scores = _rows(rows)
    if not {"us_net", "us_net_5"} <= set(scores):
        return None
    four, five = scores["us_net"], scores["us_net_5"]
    verdict = alike(mean_of_row(four), mean_of_row(five), ALIKE)
    claim = f"Four and five widths in each step are within {ALIKE:g} points of AUC"
    return Finding("Figure 9", claim, verdict, f"{_text(four)}; {_text(five)}")


def labels_do_not_help(rows: pd.DataFrame) -> Finding | None:
    """Section 4.2: narrower widths that learn from the labels too are worse than those that learn from the largest."""
    scores = _rows(rows)
    mixed = [name for name in ("us_net_mixed", "us_net_decaying") if name in scores]
    if "us_net" not in scores or not mixed:
        return None
    verdicts = [_over(scores["us_net"], scores[name]) for name in mixed]
    claim = (
        "Learning from the largest width alone is better than from labels as well, by a constant or a falling weight"
    )
    return Finding(
        "Section 4.2", claim, joined(verdicts), "; ".join(_text(scores[name]) for name in ("us_net", *mixed))
    )


def smallest_width_decides(rows: pd.DataFrame) -> Finding | None:
    """Figure 7: the smaller the smallest width, the worse the network at the widths that all of them have."""
    scores = _rows(rows)
    order = [name for name in ("us_net_from_35", "us_net", "us_net_from_05") if name in scores]
    if len(order) < 2:
        return None
    verdicts = [_over(scores[one], scores[other]) for one, other in pairwise(order)]
    claim = "At the widths that all of them have, networks of a larger smallest width are better"
    return Finding("Figure 7", claim, joined(verdicts), "; ".join(_text(scores[name]) for name in order))


def divisor_helps(rows: pd.DataFrame) -> Finding | None:
    """Figure 8: channel counts divisible by 8 slightly benefit the accuracy over all widths together."""
    claim = "Channel counts divisible by 8 improve the AUC over any counts"
    return _larger_score(rows, "us_net", "us_net_divisor_1", "Figure 8", claim)


def not_naturally_slimmable(rows: pd.DataFrame) -> Finding | None:
    """Section 6: a plainly trained network fails at other widths, even if its BN statistics are calibrated."""
    lost = _rows(rows).get("plain_calibrated")
    if lost is None:
        return None
    claim = f"A plain network with calibrated statistics is {FAILS:g} points or more worse at half its width"
    verdict = above(mean_of_row(lost), exact(FAILS))
    return Finding("Section 6", claim, verdict, f"lost: {with_spread(lost['score'], lost['std'])}")


def slimming_helps(rows: pd.DataFrame) -> Finding | None:
    """Section 6: slimmed layer by layer, a nonuniform US-Net is better than used at one width for all its layers.

    At each width the slimmed network costs no more MACs.
    """
    known = rows[rows["method"] == "us_net_nonuniform"].dropna(subset="score")
    by_kind = {parse_variant(str(row["variant"])).slimmed: row for _, row in known.iterrows()}
    if set(by_kind) != {False, True}:
        return None
    uniform, slimmed = by_kind[False], by_kind[True]
    verdict = _over(slimmed, uniform)
    claim = "At no more MACs a slimmed network has a larger AUC than the same network at one width for all layers"
    return Finding("Section 6", claim, verdict, f"{_text(slimmed)}; {_text(uniform)}")


def _frames(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[tuple[Check, ...], pd.DataFrame]]:
    """Yield the claims and the table that decides them."""
    in_tables: dict[str, tuple[Check, ...]] = {
        "table1": (better_than_individual, better_than_slimmable, gains_most_when_narrow),
        "table2": (sandwich_is_best, smallest_matters_more),
        "table3": (few_images_are_enough, exact_is_no_worse),
        "figure4_pairs": (as_good_as_individual,),
        "figure5_returns": agents.CHECKS,
    }
    in_figures: dict[str, tuple[Check, ...]] = {
        "figure4": (distillation_helps_images,),
        "figure6": (distillation_helps,),
        "figure8": (divisor_helps,),
        "figure9": (four_widths_beat_three, five_widths_are_as_good),
        "objectives": (labels_do_not_help,),
        "slimming": (slimming_helps,),
    }
    of_curves: dict[str, tuple[Check, Measure]] = {
        "figure7": (smallest_width_decides, auc_pct),
        "naturally_slimmable": (not_naturally_slimmable, _lost_at_half),
    }
    for name, checks in in_tables.items():
        if f"{PAPER}.{name}" in tables:
            yield checks, tables[f"{PAPER}.{name}"]
    for name, checks in in_figures.items():
        if f"{PAPER}.{name}" in study.exhibits:
            yield checks, over_all_widths.make(study.exhibit(f"{PAPER}.{name}"), tables)
    for name, (check, measure) in of_curves.items():
        if f"{PAPER}.{name}" in study.exhibits and "sweep" in tables:
            yield (check,), _over_common_widths(study.exhibit(f"{PAPER}.{name}"), tables["sweep"], measure)


def _over_common_widths(exhibit: Exhibit, sweep: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return a number of each calibrated curve of an exhibit, over the widths that all of them reach; seeds averaged.

    A curve is interpolated linearly where the smallest common width is not one of its own.
    """
    rows = []
    for panel in exhibit.panels:
        here = exhibit.rows_of(sweep, panel)
        here = here[here["method"].isin(exhibit.methods) & (here["variant"] != AS_TRAINED)]
        start = here.groupby("method")["width_mult"].min().max()
        for (method, variant), curves in here.groupby(["method", "variant"], sort=False):
            complete = (curve for _, curve in curves.groupby("seed") if curve["score"].notna().all())
            found = [measure(*_from(start, curve)) for curve in complete]
            keys = exhibit_keys(exhibit, panel, str(method), str(curves["label"].iloc[0]), str(variant))
            rows.append(keys | {"test_set": panel.test_set} | over_seeds(pd.Series(found)))
    return pd.DataFrame(rows, columns=TABLES["exhibit"].names)


def _from(start: float, curve: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Return widths and scores of a curve from a width on."""
    curve = curve.sort_values("width_mult")
    widths, scores = curve["width_mult"].to_numpy(float), curve["score"].to_numpy(float)
    later = widths > start + ROUNDING
    return [start, *widths[later]], [float(np.interp(start, widths, scores)), *scores[later]]


def _lost_at_half(widths: Sequence[float], scores: Sequence[float]) -> float:
    """Return by how much the score at half the width is below that at full width."""
    return scores[-1] - float(np.interp(0.5, widths, scores))


def _means(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return for each method the row of its mean over the widths."""
    return _rows(rows[rows["width_mult"].isna()])


def _rows(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the row of each method that has a score."""
    return {str(row["method"]): row for _, row in rows.dropna(subset="score").iterrows()}


def _by_variant(rows: pd.DataFrame) -> dict[tuple[Averaging | None, int | None], dict[float, Mean]]:
    """Return the errors at each width for each way of averaging and number of images; None: as the study says."""
    found: dict[tuple[Averaging | None, int | None], dict[float, Mean]] = {}
    for name, part in rows[rows["width_mult"].notna()].groupby("variant", sort=False):
        variant = parse_variant(str(name))
        if variant.recalibrated_widths is not None and not variant.slimmed and part["score"].notna().all():
            cells = {float(row["width_mult"]): mean_of_row(row) for _, row in part.iterrows()}
            found[variant.averaging, variant.num_images] = cells
    return found


def _gain(first: Mapping[float, Mean], second: Mapping[float, Mean]) -> pd.Series[float]:
    """Return by how much the second errors are smaller, by width."""
    return pd.Series({width: first[width].value - second[width].value for width in sorted(first)})


def _smaller_error(means: Mapping[str, pd.Series], name: str, other: str, source: str, where: str) -> Finding | None:
    if name not in means or other not in means:
        return None
    one, rival = means[name], means[other]
    claim = f"{one['label']} has a smaller error than {rival['label']} {where}"
    return Finding(source, claim, _below(one, rival), f"{_text(one)}; {_text(rival)}")


def _larger_score(rows: pd.DataFrame, name: str, other: str, source: str, claim: str) -> Finding | None:
    scores = _rows(rows)
    if not {name, other} <= set(scores):
        return None
    one, rival = scores[name], scores[other]
    return Finding(source, claim, _over(one, rival), f"{_text(one)}; {_text(rival)}")


def _below(first: pd.Series, second: pd.Series) -> Verdict:
    return above(mean_of_row(second), mean_of_row(first))


def _over(first: pd.Series, second: pd.Series) -> Verdict:
    return above(mean_of_row(first), mean_of_row(second))


def _text(row: pd.Series) -> str:
    paper = "" if pd.isna(row["paper_score"]) else f" (paper {row['paper_score']:.1f})"
    return f"{row['label']} {with_spread(row['score'], row['std'])}{paper}"
