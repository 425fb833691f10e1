"""How far a curve lies below its running maximum, by hand and as a claim of the paper."""

import pandas as pd
import pytest

from awnlib.papers.any_width_networks.smoothness import mean_drop_pct, smoother
from awnlib.results.columns import TABLES


def sweep(method, *seeds, variant="as_trained"):
    """Rows of "sweep" from the accuracies of each seed at the widths .25, .5, .75 and 1, in falling order of widths."""
    rows = [
        {"method": method, "label": f"{method} {variant}", "seed": seed, "width_mult": width, "score": score}
        for seed, scores in enumerate(seeds)
        for width, score in zip((0.25, 0.5, 0.75, 1.0), scores, strict=True)
    ]
    return pd.DataFrame(rows[::-1], columns=TABLES["sweep"].names)


def test_the_drop_is_below_the_best_of_all_smaller_widths():
    assert mean_drop_pct(pd.Series({0.25: 60.0, 0.5: 70.0, 0.75: 66.0, 1.0: 68.0})) == (4 + 2) / 4
    assert mean_drop_pct(pd.Series({1.0: 90.0, 0.5: 80.0, 0.25: 80.0})) == 0


@pytest.mark.parametrize(
    ("dips", "seeds", "verdict"),
    [([20.0, 24.0], 2, "holds"), ([20.0], 1, "holds"), ([0.0, 40.0], 2, "undecided"), ([8.0], 1, "undecided")],
)
def test_awns_are_smoother(dips, seeds, verdict):
    """The AWN never falls; a dip of 20 points at one of four widths is a mean drop of 5."""
    even = [(60, 70, 80, 90)] * seeds
    rough = [(60, 70, 70 - dip, 90) for dip in dips]
    finding = smoother(pd.concat([sweep("awn", *even), sweep("us_net", *rough, variant="recal4")]))
    assert (finding.source, finding.verdict) == ("Section 5.1, Figure 5", verdict)
    assert (
        f"awn as_trained 0.00{' ± 0.00' if seeds > 1 else ''}, us_net recal4 {sum(dips) / seeds / 4:.2f}"
        in finding.numbers
    )


def test_every_awn_is_compared_with_every_other():
    """AWN+RS falls more than S-Net, and AWN less."""
    tables = [sweep("awn", (60, 70, 80, 90)), sweep("awn_rs", (60, 70, 20, 90)), sweep("s_net", (60, 70, 50, 90))]
    assert smoother(pd.concat(tables)).verdict == "holds in part"
    assert smoother(sweep("awn", (60, 70, 80, 90))) is None
    assert smoother(sweep("s_net", (60, 70, 80, 90))) is None
