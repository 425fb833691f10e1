"""The claim about smooth curves (section 5.1, Figure 5): how far a curve lies below its running maximum."""

from __future__ import annotations

import pandas as pd

from awnlib.results.findings import Finding, joined
from awnlib.results.means import OF_ONE_SEED_PCT, above, mean_of
from awnlib.results.numbers import mean_with_spread

SMOOTH = ("awn", "awn_rs")
DIPPING = ("s_net", "us_net")


def mean_drop_pct(scores: pd.Series) -> float:
    """Return how far accuracies lie below the best of their own and all smaller widths, on average over the widths.

    0 for a curve that never falls. `scores` are in percent, by width.
    """
    ordered = scores.sort_index().astype(float)
    return float((ordered.cummax() - ordered).mean())


def smoother(rows: pd.DataFrame) -> Finding | None:
    """Return whether the curves of AWNs have smaller dips than those of S-Net and US-Net; `rows` of "sweep"."""
    drops = {
        (str(method), str(label)): cells.groupby("seed")["score"].agg(mean_drop_pct)
        for (method, label), cells in rows.set_index("width_mult").groupby(["method", "label"], sort=False)
    }
    smooth, dipping = ([key for key in drops if key[0] in methods] for methods in (SMOOTH, DIPPING))
    if not smooth or not dipping:
        return None
    means = {key: mean_of(drops[key], OF_ONE_SEED_PCT) for key in [*smooth, *dipping]}
    verdict = joined([above(means[rough], means[even]) for rough in dipping for even in smooth])
    numbers = ", ".join(f"{label} {mean_with_spread(drops[method, label])}" for method, label in means)
    claim = "The curves of AWNs are smoother than those of S-Net and US-Net"
    return Finding("Section 5.1, Figure 5", claim, verdict, f"mean drop below the running maximum, points: {numbers}")
