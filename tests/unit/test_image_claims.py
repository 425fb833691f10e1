"""The claims on super-resolution, both ways, on tables made by hand."""

import pandas as pd
import pytest

from awnlib.papers.us_nets import image_claims as claims
from awnlib.results.columns import TABLES

WIDTHS = [1.0, 0.75, 0.5]
CELL = {"model": "wdsr", "dataset": "photos", "paper_dataset": "photos", "test_set": "some", "num_seeds": 3}


def table(rows):
    return pd.DataFrame(rows, columns=TABLES["exhibit"].names)


def differences(metric, method, *scores, std=0.001, num_seeds=3):
    about = CELL | {"method": method, "label": f"<{method}>", "metric": metric, "std": std, "num_seeds": num_seeds}
    return table([about | {"width_mult": w, "score": score} for w, score in zip(WIDTHS, scores, strict=False)])


def scores(std=0.01, **means):
    return table(
        [CELL | {"method": name, "label": f"<{name}>", "std": std, "score": mean} for name, mean in means.items()]
    )


@pytest.mark.parametrize(
    ("found", "std", "verdict"),
    [
        ((0.02, -0.005), 0.001, "holds"),
        ((0.02, -0.05), 0.001, "holds in part"),
        ((-0.1, -0.05), 0.001, "does not hold"),
        ((0.0, 0.0), 0.02, "undecided"),
    ],
)
def test_one_network_is_hardly_worse_than_individual_ones_image_by_image(found, std, verdict):
    finding = claims.as_good_as_individual(differences("psnr_db_over_i_net", "us_net", *found, std=std))
    assert finding.verdict == verdict
    assert finding.numbers.startswith(f"differences: 1x {found[0]:+.3f} ± {std:.3f}, 0.75x ")
    assert claims.as_good_as_individual(differences("better_pct", "us_net", 1, 2)) is None


@pytest.mark.parametrize(("least", "verdict"), [(0.85, "holds"), (0.75, "holds in part")])
def test_networks_without_l1_distillation_are_clearly_above_bicubic(least, verdict):
    rows = [differences("psnr_db_over_baseline", *some) for some in (("us_net", 0.1), ("us_net_l2", 1.2, least))]
    finding = claims.clearly_above_bicubic(pd.concat(rows))
    assert finding.verdict == verdict
    assert finding.numbers == f"the least: <us_net_l2> at 0.75x {least:.2f} ± 0.00"
    assert claims.clearly_above_bicubic(rows[0]) is None


@pytest.mark.parametrize(
    ("check", "names"),
    [
        (claims.distillation_helps_images, ("us_net", "us_net_hard")),
        (claims.any_width_is_better, ("any_width", "us_net_hard")),
        (claims.squares_distil_better, ("us_net_l2", "us_net")),
    ],
)
def test_one_method_has_a_larger_psnr_than_another(check, names):
    one, other = names
    assert check(scores(**{one: 31.0, other: 30.9})).verdict == "holds"
    assert check(scores(**{one: 30.9, other: 31.0})).verdict == "does not hold"
    assert check(scores(**{one: 31.0, other: 30.9}, std=0.5)).verdict == "undecided"
    assert check(scores(**{one: 31.0, other: 30.9})).numbers == f"<{one}> 31.000 ± 0.010; <{other}> 30.900 ± 0.010"
    assert check(scores(**{one: 31.0})) is None


def test_one_seed_decides_nothing():
    rows = differences("psnr_db_over_i_net", "us_net", 0.5, std=None, num_seeds=1)
    assert claims.as_good_as_individual(rows).verdict == "undecided"
