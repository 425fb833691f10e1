"""How many of a paper's claims hold, do not, and are undecided: in one study, and in all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from awnlib.results.findings import Finding, Verdict

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Found = tuple[str, Finding]
"""The title of a panel, and what a claim comes to on it."""


def count_verdicts(verdicts: Iterable[Verdict]) -> list[int]:
    """Return how often each of `VERDICTS` was reached."""
    found = Counter(verdicts)
    return [found[verdict] for verdict in VERDICTS]


def count_claims(findings: Iterable[Found]) -> list[int]:
    """Count claims as `count_verdicts` does, where several studies may have checked the same one on the same panel.

    Such a claim counts once, as those studies say that decide it; it is undecided if none does, or if they disagree.
    """
    reached: dict[tuple[str, str, str], set[Verdict]] = {}
    for panel, finding in findings:
        reached.setdefault((panel, finding.source, finding.claim), set()).add(finding.verdict)
    return count_verdicts(map(_agreed, reached.values()))


def _agreed(verdicts: set[Verdict]) -> Verdict:
    decided = verdicts - {"undecided"}
    return decided.pop() if len(decided) == 1 else "undecided"
