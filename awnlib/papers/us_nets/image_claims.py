"""Super-resolution: what the paper claims, and our own questions, beside what was measured; as in `claims.py`.

Scores are in dB. One seed decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from awnlib.results.blocks import row_title
from awnlib.results.findings import Finding, joined
from awnlib.results.means import Mean, above, exact
from awnlib.results.numbers import with_spread
from awnlib.results.renderers import over_all_widths
from awnlib.studies.widths.config import StudyConfig

PANEL = ["model", "dataset", "paper_dataset", "test_set"]
ONE_HUNDREDTH = 0.01  # dB: as much PSNR one network for all widths loses (section 5.1)
CLEARLY_ABOVE = 0.8  # dB over bicubic enlargement, our own bound


def as_good_as_individual(rows: pd.DataFrame) -> Finding | None:
    """Figure 4: a US-WDSR has a PSNR at most .01 dB below that of individually trained networks; image by image."""
    pairs = rows[(rows["method"] == "us_net") & (rows["metric"] == "psnr_db_over_i_net")].dropna(subset="score")
    if pairs.empty:
        return None
    verdict = joined([above(_mean(row), exact(0.0), by=-ONE_HUNDREDTH) for _, row in pairs.iterrows()])
    claim = f"One network for all widths is at most {ONE_HUNDREDTH:g} dB below individually trained ones"
    words = [f"{row['width_mult']:g}x {with_spread(row['score'], row['std'], '+.3f')}" for _, row in pairs.iterrows()]
    return Finding("Figure 4", claim, verdict, f"differences: {', '.join(words)}")


def distillation_helps_images(rows: pd.DataFrame) -> Finding | None:
    """Figure 4: in-place distillation improves the PSNR over all widths together."""
    return _larger(rows, "us_net", "us_net_hard", "Figure 4", "In-place distillation improves the PSNR")


def own_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check our own questions of super-resolution.

    Parameters
    ----------
    study
        Says which methods its figure shows.
    tables
        "evaluations", and the study's tables of this paper.

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    frames: list[tuple[pd.DataFrame, tuple[Callable[[pd.DataFrame], Finding | None], ...]]] = []
    if "us_nets.figure4" in study.exhibits:
        scores = over_all_widths.make(study.exhibit("us_nets.figure4"), tables)
        frames.append((scores, (any_width_is_better, squares_distil_better)))
    if "us_nets.figure4_gains" in tables:
        frames.append((tables["us_nets.figure4_gains"], (clearly_above_bicubic,)))
    return [
        (row_title(*map(str, panel)), finding)
        for frame, checks in frames
        for panel, rows in frame.groupby(PANEL, sort=False)
        for check in checks
        if (finding := check(rows)) is not None
    ]


def any_width_is_better(rows: pd.DataFrame) -> Finding | None:
    """Whether an any-width network has a larger PSNR than a US-Net that learns from images at every width too."""
    claim = "An any-width network has a larger PSNR over all widths than a US-Net without distillation"
    return _larger(rows, "any_width", "us_net_hard", "awnlib", claim)


def squares_distil_better(rows: pd.DataFrame) -> Finding | None:
    """Whether in-place distillation by squared errors is better than by absolute ones; the paper names both."""
    return _larger(rows, "us_net_l2", "us_net", "awnlib", "Distillation by l2 gives a larger PSNR than by l1")


def clearly_above_bicubic(rows: pd.DataFrame) -> Finding | None:
    """Whether all networks but those that learn from the largest width by l1 are clearly above bicubic enlargement."""
    others = rows[(rows["method"] != "us_net") & (rows["metric"] == "psnr_db_over_baseline")].dropna(subset="score")
    if others.empty:
        return None
    verdict = joined([above(_mean(row), exact(CLEARLY_ABOVE)) for _, row in others.iterrows()])
    lowest = others.sort_values("score").iloc[0]
    claim = f"Every network without l1 distillation is more than {CLEARLY_ABOVE:g} dB above bicubic at each width"
    numbers = f"the least: {lowest['label']} at {lowest['width_mult']:g}x {with_spread(lowest['score'], lowest['std'])}"
    return Finding("awnlib", claim, verdict, numbers)


def _larger(rows: pd.DataFrame, name: str, other: str, source: str, claim: str) -> Finding | None:
    scores = {str(row["method"]): row for _, row in rows.dropna(subset="score").iterrows()}
    if not {name, other} <= set(scores):
        return None
    one, rival = scores[name], scores[other]
    numbers = "; ".join(f"{row['label']} {with_spread(row['score'], row['std'], '.3f')}" for row in (one, rival))
    return Finding(source, claim, above(_mean(one), _mean(rival)), numbers)


def _mean(row: pd.Series) -> Mean:
    value, std = pd.to_numeric(row[["score", "std"]])
    return Mean(float(value), float(std), int(row["num_seeds"]))
