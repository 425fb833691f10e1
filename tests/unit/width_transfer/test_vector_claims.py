"""Claims about the vectors themselves, both ways, on tables made by hand."""

import pandas as pd
import pytest

from awnlib.papers.width_transfer import claims, vectors
from tests.unit.width_transfer.claims_study import DIRECT, EMPTY, HALF, QUARTER, STUDY
from tests.unit.width_transfer.transfer_tables import similarity_row


@pytest.mark.parametrize(
    ("times", "verdict"),
    [((1.4, 1.5), "holds"), ((0.72, 0.7), "does not hold"), ((1.5, 0.9), "undecided"), ((1.2,), "undecided")],
)
def test_the_last_layer_widens(times, verdict):
    """For each seed on average over the sources of an axis over the width; other axes and targets decide nothing."""
    names = {"model": "resnet18", "dataset": "small", "target": DIRECT, "optimizer": "dmcp"}
    widest_twice = (("stage1", 10, 9.0), ("stage2", 20, None), ("inner2", 20, 9.0))
    rows = [
        {**names, "seed": seed, "source": source, "position": position, "channels": channels}
        | {"multiplier": other or value + shift, "count": full * (other or value + shift)}
        for seed, value in enumerate(times)
        for source, shift in ((DIRECT, 0.2), (HALF, -0.2))
        for position, (channels, full, other) in enumerate(widest_twice)
    ]
    others = [{**rows[1], "multiplier": 50.0, **change} for change in ({"source": "w1-d1-s0.5"}, {"target": HALF})]
    tables = {**EMPTY, "widths": pd.DataFrame([*rows, *others])}
    ((title, finding),) = claims.paper_findings(STUDY, tables)
    assert (finding.source, finding.verdict) == ("Section 4.1, Figure A1", verdict)
    assert finding.claim == "DMCP's last layers have more channels than uniform ones"
    assert finding.numbers.startswith(f"stage2: {sum(times) / len(times):.2f}")
    assert ("opposite of what the paper finds" in finding.numbers) == (verdict == "does not hold")
    assert "1300 of 887" in finding.numbers
    assert title.endswith("1x wide, 1x deep")


@pytest.mark.parametrize(
    ("between", "verdict"),
    [((0.98, 0.97), "holds"), ((0.7, 0.69), "does not hold"), ((0.95, 0.83), "undecided"), ((0.98,), "undecided")],
)
def test_widths_from_different_sources_are_alike(between, verdict):
    """Each seed is one observation: the mean of its pairs (of two stackings here) minus that of its floors, 0.85."""
    rows = []
    for seed, value in enumerate(between):
        rows += [
            similarity_row(("dmcp", DIRECT, seed), ("uniform", DIRECT, None), 0.8),
            similarity_row(("dmcp", HALF, seed), ("uniform", DIRECT, None), 0.9),
            similarity_row(("dmcp", DIRECT, seed), ("dmcp", HALF, seed), value + 0.01),
            similarity_row(("dmcp", DIRECT, seed), ("dmcp", HALF, seed), value - 0.01),
            similarity_row(("dmcp", HALF, seed), ("dmcp", HALF, seed), 1.0) | {"relation": "vectors"},  # two stackings
            similarity_row(("dmcp", DIRECT, seed), ("dmcp", HALF, 7), 0.1),
        ]
    rows = [
        *rows,
        similarity_row(("dmcp", DIRECT, 0), ("dmcp", DIRECT, 1), 0.999),
        similarity_row(("dmcp", DIRECT, 0), ("autoslim", HALF, 0), 0.1),
        similarity_row(("dmcp", DIRECT, 0), ("dmcp", HALF, 0), 0.1) | {"other_target": "w1-d1-r64-s1"},
    ]
    ((place, here),) = vectors.similar_places(pd.DataFrame(rows))
    assert place == "ResNet18, MNIST-5k, 1x wide, 1x deep"
    finding = vectors.alike_between_sources(here, "dmcp", "DMCP")
    assert (finding.source, finding.verdict) == ("Appendix D, Figure A2", verdict)
    assert f"with uniform 0.850{' ± 0.000' if len(between) > 1 else ''}, between seeds 0.999" in finding.numbers
    assert finding.numbers.startswith(f"cosine between sources {sum(between) / len(between):.3f}")


def test_similarity_is_checked_for_each_optimiser_of_the_paper():
    rows = [
        row
        for name in ("dmcp", "folded", "morphnet")
        for row in (
            similarity_row((name, DIRECT, 0), ("uniform", DIRECT, None), 0.8),
            similarity_row((name, DIRECT, 0), (name, HALF, 0), 0.9),
        )
    ]
    found = claims.paper_findings(STUDY, {**EMPTY, "similarity": pd.DataFrame(rows)})
    assert [(place, finding.claim.split("'")[0]) for place, finding in found] == [
        ("ResNet18, MNIST-5k, 1x wide, 1x deep", "MorphNet"),
        ("ResNet18, MNIST-5k, 1x wide, 1x deep", "DMCP"),
    ]


def test_similarity_needs_two_sources():
    rows = pd.DataFrame([similarity_row(("dmcp", DIRECT, 0), ("uniform", DIRECT, None), 0.8)])
    assert vectors.alike_between_sources(rows, "dmcp", "DMCP") is None


@pytest.mark.parametrize(
    ("floors", "verdict"), [((0.9, 0.9), "holds"), ((0.9, 0.97), "undecided"), ((0.97, 0.971), "does not hold")]
)
def test_widths_of_two_data_sets_are_alike(floors, verdict):
    """Direct searches of one network and seed are compared, and the floor is that of the small data set."""
    small, large = ({"dataset": name, "target": HALF} for name in ("small", "large"))
    rows = []
    for seed, floor in enumerate(floors):
        for place in (small, large):
            row = similarity_row(("dmcp", HALF, seed), ("uniform", HALF, None), floor if place is small else 0.1)
            rows.append(row | {f"one_{key}": value for key, value in place.items()})
        for source, cosine in ((HALF, 0.95), (QUARTER, 0.2)):
            row = similarity_row(("dmcp", HALF, seed), ("dmcp", source, seed), cosine) | {"relation": "vectors"}
            row |= {
                f"{which}_{key}": value
                for which, place in (("one", small), ("other", large))
                for key, value in place.items()
            }
            rows.append(row)
    found = claims.paper_findings(STUDY, {**EMPTY, "similarity": pd.DataFrame(rows)})
    ((place, finding),) = found
    assert (place, finding.source, finding.verdict) == ("ResNet18", "Appendix C, Table 1", verdict)
    assert finding.claim == "DMCP's widths for small and large are more alike than they are like uniform ones"
    assert finding.numbers.startswith("0.5x wide, 1x deep: cosine between data sets 0.950 ± 0.000, with uniform 0.9")
