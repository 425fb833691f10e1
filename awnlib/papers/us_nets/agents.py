"""What the paper claims of agents (section 5.1, figure 5), beside what was measured: over the returns at each width."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from awnlib.results.findings import Finding, joined
from awnlib.results.means import Mean, above
from awnlib.results.numbers import with_spread

INDIVIDUAL = "i_net"
PAIRS = (("us_net_policy", "us_net"), ("awn_policy", "awn"))
"""Methods that distil the widest network's policy, with those that learn from its roll-outs alone."""


def better_than_individual(rows: pd.DataFrame, method: str) -> Finding | None:
    """Figure 5: one network for all widths outperforms the individual network at each of them."""
    claim = "{one} outperforms individually trained networks at every width"
    return _compared(rows, method, INDIVIDUAL, "Figure 5" if method == "us_net" else "awnlib", claim)


def policy_is_better(rows: pd.DataFrame, method: str, other: str) -> Finding | None:
    """Ours: at the smallest width, the widest network's policy is the better teacher than its roll-outs alone."""
    smallest = rows[rows["width_mult"] == rows["width_mult"].min()]
    return _compared(smallest, method, other, "awnlib", "{one} is better than {other} at the smallest width")


def _compared(rows: pd.DataFrame, method: str, other: str, source: str, claim: str) -> Finding | None:
    """Return whether a method has the larger return at each width that both have."""
    known = rows[rows["width_mult"].notna() & rows["score"].notna()]
    by_method = {name: part.set_index("width_mult") for name, part in known.groupby("method")}
    if method not in by_method or other not in by_method:
        return None
    one, rival = by_method[method], by_method[other]
    widths = sorted(set(one.index) & set(rival.index), reverse=True)
    if not widths:
        return None
    verdicts = [above(_mean(one, width), _mean(rival, width)) for width in widths]
    numbers = "; ".join(f"{width:g}x {_text(one, width)} against {_text(rival, width)}" for width in widths)
    words = claim.format(one=one["label"].iloc[0], other=rival["label"].iloc[0])
    return Finding(source, words, joined(verdicts), numbers)


def _mean(rows: pd.DataFrame, width: float) -> Mean:
    """Return the mean over seeds; a single one decides nothing."""
    return Mean(float(rows["score"][width]), float(rows["std"][width]), int(rows["num_seeds"][width]))


def _text(rows: pd.DataFrame, width: float) -> str:
    return with_spread(rows["score"][width], rows["std"][width])


CHECKS: tuple[Callable[[pd.DataFrame], Finding | None], ...] = (
    *(partial(better_than_individual, method=name) for pair in PAIRS for name in reversed(pair)),
    *(partial(policy_is_better, method=one, other=other) for one, other in PAIRS),
)
"""What a table of returns can decide."""
