"""How claims are counted, in one study and over several."""

from awnlib.report.scores import VERDICTS, count_claims, count_verdicts
from awnlib.results.findings import Finding


def found(verdict, *, panel="digits", claim="a"):
    return panel, Finding("Table 1", claim, verdict, "")


def counts(**numbers):
    return [numbers.get(verdict.replace(" ", "_"), 0) for verdict in VERDICTS]


def test_verdicts_are_counted_each():
    assert count_verdicts(["holds", "undecided", "holds"]) == counts(holds=2, undecided=1)


def test_a_claim_of_several_studies_counts_once_as_those_say_that_decide_it():
    assert count_claims([found("undecided"), found("holds"), found("holds")]) == counts(holds=1)
    assert count_claims([found("undecided"), found("undecided")]) == counts(undecided=1)


def test_studies_that_disagree_decide_nothing():
    assert count_claims([found("holds"), found("does not hold")]) == counts(undecided=1)


def test_panels_and_claims_count_apart():
    several = [found("holds"), found("holds", panel="clothes"), found("does not hold", claim="b")]
    assert count_claims(several) == counts(holds=2, does_not_hold=1)
