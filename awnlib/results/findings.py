"""Claims beside what was measured: the verdict on one, and on one that joins several statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "holds in part", "does not hold", "undecided"]


@dataclass(frozen=True)
class Finding:
    """One claim, checked.

    Attributes
    ----------
    source
        Where a paper makes the claim ("Table 2"); "awnlib" for a question of our own.
    claim
        The claim as a sentence, without a full stop.
    verdict
        Whether it holds; "holds in part" if it joins several statements and only some of them do; "undecided" if
        the seeds leave it open (`awnlib.results.means`).
    numbers
        What was measured, and the paper's numbers where there are any.
    """

    source: str
    claim: str
    verdict: Verdict
    numbers: str


def all_hold(holds: Iterable[object]) -> Verdict:
    """Return the verdict on a claim that joins several statements, from whether each is true."""
    found = [bool(one) for one in holds]
    if all(found):
        return "holds"
    return "holds in part" if any(found) else "does not hold"


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on a claim that joins several statements, from theirs; what fails weighs most."""
    found = set(verdicts)
    if "does not hold" in found:
        return "holds in part" if found & {"holds", "holds in part"} else "does not hold"
    if "undecided" in found:
        return "undecided"
    return "holds in part" if "holds in part" in found else "holds"
