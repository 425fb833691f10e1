"""What the paper does not claim and we ask: does a cell reach its number, do statistics serve all widths elsewhere too,
is one method better than another, seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from awnlib.papers.any_width_networks.panels import (
    PAPER,
    auc_text,
    one_set_of_statistics,
    ordinary_methods,
    panels_of,
    shows_figure2,
    with_numbers,
)
from awnlib.results.findings import Finding
from awnlib.results.means import OF_ONE_SEED_PCT, above, alike, exact, mean_of, mean_of_row
from awnlib.results.numbers import mean_with_spread
from awnlib.results.summaries import one_row_each
from awnlib.studies.widths.config import StudyConfig
from awnlib.training.methods import FOR_READERS

OURS = "awnlib"
NEAR_PAPER_PCT = 1.0  # percentage points


def own_findings(study: StudyConfig, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check our own questions, panel by panel.

    Whether AWN and AWN+RS reach the paper's AUC; whether one set of BN statistics serves every width of AWN on panels
    that the paper does not show; whether training every width at once (AWN-all) gives a larger AUC than AWN and AWN+RS,
    and whether the channels of a width vector give a larger one than the same method without.

    Parameters
    ----------
    study
        Says which methods have a width vector.
    tables
        "evaluations" and "bn_drift", and "table2" if the study has it.

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    near = [
        (panel, near_the_paper(rows, method))
        for panel, rows in panels_of(tables.get(f"{PAPER}.table2", pd.DataFrame()))
        for method in ("awn", "awn_rs")
    ]
    elsewhere = tables["bn_drift"][~shows_figure2(study, tables["bn_drift"])]
    served = [
        (panel, one_set_of_statistics(rows, ordinary_methods(study), OURS)) for panel, rows in panels_of(elsewhere)
    ]
    pairs = [("awn_all", "awn"), ("awn_all", "awn_rs"), *_optimised_methods(study)]
    panels = list(panels_of(one_row_each(tables["evaluations"])))
    larger = [(panel, larger_auc(rows, *pair)) for panel, rows in panels for pair in pairs]
    return [(panel, finding) for panel, finding in [*near, *served, *larger] if finding]


def near_the_paper(rows: pd.DataFrame, method: str) -> Finding | None:
    """Return whether one method reaches the paper's AUC, give or take a point; `rows` of "table2"."""
    found = with_numbers(rows).query("method == @method")
    if found.empty:
        return None
    row = found.iloc[0]
    claim = f"{row['label']} is within {NEAR_PAPER_PCT:g} point of the paper's AUC"
    verdict = alike(mean_of_row(row), exact(row["paper_score"]), NEAR_PAPER_PCT)
    return Finding(OURS, claim, verdict, auc_text(row))


def larger_auc(rows: pd.DataFrame, method: str, other: str) -> Finding | None:
    """Return whether one method has a larger AUC than another, seed by seed; `rows` of "evaluations"."""
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
    verdict = above(mean_of(pairs, math.sqrt(2) * OF_ONE_SEED_PCT), exact(0))
    return Finding(OURS, f"{label} has a larger AUC than {other_label}", verdict, numbers)


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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
