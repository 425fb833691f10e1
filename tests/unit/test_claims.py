"""Every claim both ways, on tables made by hand; and that a claim without its methods is not listed."""

import pandas as pd
import pytest

from awnlib.papers.any_width_networks import claims, own_checks, table1
from awnlib.papers.any_width_networks.panels import one_set_of_statistics
from awnlib.results.columns import TABLES
from awnlib.studies.widths.config import parse_study

PANEL = {"model": "lenet_3c1l", "dataset": "fashion_mnist", "paper_dataset": "fashion_mnist"}
LABELS = {
    "wide_first": "wide first",
    "narrow_base": "x",
    "awn": "AWN",
    "awn_plain_width": "AWN (plain width)",
    "awn_rs": "AWN+RS",
    "awn_all": "AWN-all",
    "s_net": "S-Net",
    "shared_bn": "Standard BN",
}
PAPER = {"AWN": 90.67, "S-Net": 83.78, "AWN+RS": 91.06, "US-Net(4w)": 90.40, "US-Net(10w)": 90.70}


def aucs(ours, *, paper=PAPER, std=0.1, panel=PANEL):
    """Rows of "table2" from AUCs by method, or by method and variant; of three seeds, or of one if `std` is None."""
    rows = []
    for key, value in ours.items():
        method, variant = key if isinstance(key, tuple) else (key, "as_trained")
        label = f"US-Net({variant[5:]}w)" if method == "us_net" else LABELS.get(method, method)
        number = paper.get(label)
        difference = None if number is None else value - number
        values = {"score": value, "std": std, "num_seeds": 1 if std is None else 3}
        values |= {"paper_score": number, "difference": difference}
        rows.append({**panel, "method": method, "label": label, "variant": variant, **values})
    floats = ["score", "std", "paper_score", "difference"]
    return pd.DataFrame(rows, columns=TABLES["exhibit"].names).astype(dict.fromkeys(floats, float))


def accuracies(train, test, *, paper=None, num_seeds=3):
    """Rows of "table1" from accuracies by method and width, and a standard deviation of 0.05."""
    rows = [
        {**PANEL, "method": method, "label": LABELS[method], "width_mult": width, "test_set": images}
        | {"score": value, "std": 0.05 if num_seeds > 1 else None, "num_seeds": num_seeds}
        | {"paper_score": (paper or {}).get((images, method, width))}
        for images, methods in (("train", train), ("test", test))
        for method, widths in methods.items()
        for width, value in widths.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["exhibit"].names)


def seeds(**methods):
    """Rows of "evaluations" from a list of AUCs (one a seed) by method; None: failed."""
    rows = [
        {"dataset": "mnist", "model": "lenet_3c1l", "method": method, "label": LABELS[method], "variant": "as_trained"}
        | {
            "seed": seed,
            "test_set": "test",
            "metric": "top1_pct",
            "score": value,
            "state": "failed" if value is None else "ok",
        }
        for method, values in methods.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=TABLES["evaluations"].names)


def study_of(methods):
    """A study with its own rows of methods."""
    panels = [{"model": "lenet_3c1l", "dataset": "mnist"}]
    table = {"panels": panels, "methods": ["awn", "awn_rs", "awn_all", *methods]}
    study = {"study": "tiny", "seeds": [0], "datasets": {"mnist": {"source": "mnist"}}}
    return parse_study({**study, "methods": methods, "exhibits": {"any_width_networks.table2": table}})


def sizes(**stored):
    """Rows of ``summaries.model_sizes`` from the numbers that each method stores."""
    return pd.DataFrame({"method": list(stored), "params_stored": list(stored.values())})


def drifts(**methods):
    rows = [
        {"dataset": "mnist", "model": "lenet_3c1l", "method": method, "label": LABELS.get(method, method), "seed": 0}
        | {"layer": "bn1", "drift": drift}
        for method, drift in methods.items()
    ]
    return pd.DataFrame(rows, columns=TABLES["bn_drift"].names)


US_NET = {("us_net", "recal4"): 90.4, ("us_net", "recal10"): 90.7}


@pytest.mark.parametrize(
    ("ours", "std", "verdict", "numbers"),
    [
        (
            91.0,
            0.1,
            "holds",
            "AWN+RS 91.00 ± 0.10 (paper 91.06, -0.06); largest of the others: US-Net(10w) 90.70 ± 0.10 (paper 90.70, ",
        ),
        (90.5, 0.1, "does not hold", "largest of the others: US-Net(10w) 90.70"),
        (90.9, 0.2, "undecided", "AWN+RS 90.90 ± 0.20 (paper 91.06, -0.16)"),
        (93.0, None, "undecided", "AWN+RS 93.00 (paper 91.06, +1.94)"),
        (93.1, None, "holds", "AWN+RS 93.10 (paper"),
    ],
)
def test_the_best_method_of_the_paper_is_the_best(ours, std, verdict, numbers):
    finding = claims.largest_auc(aucs({"awn": 90.0, "awn_rs": ours} | US_NET, std=std))
    assert (finding.claim, finding.verdict) == ("AWN+RS has the largest AUC", verdict)
    assert numbers in finding.numbers


def test_the_paper_decides_which_method_should_be_best():
    paper = PAPER | {"US-Net(10w)": 91.98}
    finding = claims.largest_auc(aucs({"awn": 90.0, "awn_rs": 91.0} | US_NET, paper=paper))
    assert (finding.claim, finding.verdict) == ("US-Net(10w) has the largest AUC", "does not hold")


@pytest.mark.parametrize(("ours", "verdict"), [(80.0, "holds"), (90.2, "does not hold")])
def test_the_s_net_is_the_worst(ours, verdict):
    finding = claims.smallest_auc(aucs({"awn": 90.0, "s_net": ours}))
    assert (finding.claim, finding.verdict) == ("S-Net has the smallest AUC", verdict)
    assert "smallest of the others: AWN 90.00" in finding.numbers
    assert claims.smallest_auc(aucs({"awn": 90.0, "s_net": 88.0}, std=None)).verdict == "undecided"


@pytest.mark.parametrize(
    ("ours", "std", "verdict"),
    [
        (89.9, 0.1, "holds"),
        (91.4, 0.1, "holds"),
        (89.68, 0.1, "undecided"),
        (89.4, 0.1, "does not hold"),
        (90.67, None, "undecided"),
        (88.0, None, "does not hold"),
    ],
)
def test_a_cell_is_near_the_papers(ours, std, verdict):
    finding = own_checks.near_the_paper(aucs({"awn": ours, "s_net": 1.0}, std=std), "awn")
    assert (finding.source, finding.verdict) == ("awnlib", verdict)
    assert finding.claim == "AWN is within 1 point of the paper's AUC"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((90.0, 90.5, 91.0), "holds"),
        ((90.0, 91.0, 90.5), "holds in part"),
        ((91.0, 90.5, 90.0), "does not hold"),
        ((90.0, 90.5, 90.6), "undecided"),
    ],
)
def test_us_net_improves_with_recalibrated_widths(values, verdict):
    ours = {("us_net", f"recal{points}"): value for points, value in zip((4, 10, 20), values, strict=True)}
    others = {("us_net", "recal10-moving"): 1.0, ("us_net", "recal20-512"): 99.0}  # differ in more than the widths
    shuffled = aucs(ours | others).iloc[::-1]
    finding = claims.more_recalibrated_widths(shuffled)
    assert finding.verdict == verdict
    assert finding.numbers.startswith(f"US-Net(4w) {values[0]:.2f}")
    assert finding.numbers.count("US-Net") == 3


@pytest.mark.parametrize(
    ("ours", "std", "verdict"),
    [(90.7, 0.1, "holds"), (90.3, 0.1, "does not hold"), (90.7, 0.2, "undecided"), (90.7, None, "undecided")],
)
def test_sampling_widths_helps(ours, std, verdict):
    finding = claims.sampled_widths(aucs({"awn": 90.5, "awn_rs": ours}, std=std))
    assert (finding.claim, finding.verdict) == ("Sampling widths helps: AWN+RS is above AWN", verdict)


@pytest.mark.parametrize(("ours", "verdict"), [(90.7, "does not hold"), (90.3, "holds")])
def test_sampling_widths_does_not_help_where_the_paper_says_so(ours, verdict):
    finding = claims.sampled_widths(aucs({"awn": 90.5, "awn_rs": ours}, paper={"AWN": 90.91, "AWN+RS": 90.72}))
    assert (finding.claim, finding.verdict) == ("Sampling widths does not help here: AWN is above AWN+RS", verdict)


@pytest.mark.parametrize(("narrow", "verdict"), [(80.0, "holds"), (98.5, "does not hold")])
def test_ordinary_bn_collapses_in_testing_only(narrow, verdict):
    train = {"shared_bn": {1.0: 99.0, 0.5: 98.0, 0.25: 99.0}}
    paper = {("train", "shared_bn", 0.5): 99.02, ("test", "shared_bn", 0.5): 96.59}
    # What full width loses is no matter of narrow widths.
    finding = table1.ordinary_bn(accuracies(train, {"shared_bn": {1.0: 50.0, 0.5: 98.0, 0.25: narrow}}, paper=paper))
    assert finding.verdict == verdict
    assert f"at w = 0.25: {99 - narrow:+.2f} points (paper: w = 0.50: +2.43 points)" in finding.numbers


def test_ordinary_bn_that_fails_in_training_too_is_no_collapse():
    both = {"shared_bn": {1.0: 99.0, 0.25: 30.0}}
    assert table1.ordinary_bn(accuracies(both, both)).verdict == "does not hold"


@pytest.mark.parametrize(
    ("full", "num_seeds", "verdict"), [(98.0, 3, "holds"), (99.0, 3, "does not hold"), (98.0, 1, "undecided")]
)
def test_three_quarters_are_better_than_all_with_ordinary_bn(full, num_seeds, verdict):
    paper = {("test", "shared_bn", 0.75): 98.78, ("test", "shared_bn", 1.0): 98.49}
    rows = accuracies({}, {"shared_bn": {1.0: full, 0.75: 98.5}}, paper=paper, num_seeds=num_seeds)
    finding = table1.three_quarters_beat_full(rows)
    assert (finding.source, finding.verdict) == ("Section 3.2", verdict)
    assert finding.numbers.endswith("(paper: 98.78, 98.49)")


@pytest.mark.parametrize(("plain", "verdict"), [(98.0, "holds"), (99.5, "does not hold"), (98.98, "undecided")])
def test_ordinary_bn_is_lower_overall(plain, verdict):
    """Means over the widths that both have; a standard deviation is that of one width."""
    test = {"shared_bn": {1.0: plain + 0.5, 0.5: plain - 0.5, 0.25: 0.0}, "s_net": {1.0: 99.5, 0.5: 98.5}}
    finding = table1.lower_overall(accuracies({}, test))
    assert finding.verdict == verdict
    assert finding.numbers == f"mean over the widths: Standard BN {plain:.2f} ± 0.05, S-Net 99.00 ± 0.05"


@pytest.mark.parametrize(("ours", "verdict"), [(98.6, "holds"), (98.3, "holds in part"), (98.5, "undecided")])
def test_awn_is_near_the_s_net(ours, verdict):
    test = {"awn_plain_width": {1.0: 99.5, 0.5: ours}, "s_net": {1.0: 99.0, 0.5: 99.0}}
    finding = table1.near_the_s_net(accuracies(test, test))
    assert finding.verdict == verdict
    assert table1.near_the_s_net(accuracies(test, test, num_seeds=1)).verdict == "undecided"
    assert finding.numbers == f"S-Net minus AWN is largest at w = 0.50: {99 - ours:+.2f} points"


def test_a_wider_awn_decides_no_claim_of_table_1():
    test = {"awn": {1.0: 99.5}, "s_net": {1.0: 99.0}}
    assert table1.near_the_s_net(accuracies(test, test)) is None
    assert claims.smaller_footprint(sizes(awn=43_345, s_net=41_194)) is None


@pytest.mark.parametrize(("ours", "verdict"), [(22_000, "holds"), (41_194, "does not hold")])
def test_an_awn_of_as_many_channels_stores_less_than_the_s_net(ours, verdict):
    finding = claims.smaller_footprint(sizes(awn_plain_width=ours, s_net=41_194))
    assert (finding.source, finding.verdict) == ("Table 1", verdict)
    assert finding.numbers == f"AWN {ours:,} numbers, S-Net 41,194: {100 * (ours / 41_194 - 1):+.1f} %"


@pytest.mark.parametrize(("extra", "verdict"), [(18.9, "holds"), (17.0, "does not hold")])
def test_a_mobilenet_v2_of_twenty_widths(extra, verdict):
    rows = pd.DataFrame({"model": "mobilenet_v2", "num_switches": [10.0, 20.0], "extra_pct": [9.4, extra]})
    finding = claims.size_at_twenty_widths(rows)
    assert (finding.source, finding.verdict, finding.numbers) == ("Section 1", verdict, f"{extra:+.1f} %")
    assert claims.size_at_twenty_widths(rows.assign(model="lenet_3c1l")) is None


@pytest.mark.parametrize(("values", "verdict"), [((50, 60, 70), "holds"), ((50, 60, 55), "holds in part")])
def test_auc_rises_with_the_trained_widths(values, verdict):
    methods = ("awn_2w", "full_width_triangular", "awn")
    rows = aucs(dict(zip(methods, (values[1], values[0], values[2]), strict=True)))
    finding = claims.more_trained_widths(rows)
    assert finding.verdict == verdict
    assert finding.numbers.startswith("full_width_triangular 50.00 ± 0.10; awn_2w 60.00 ± 0.10")


@pytest.mark.parametrize(("dense", "verdict"), [(20.0, "holds"), (40.0, "does not hold")])
def test_triangular_layers_degrade_less(dense, verdict):
    panel = PANEL | {"dataset": "other", "paper_dataset": "cifar10"}
    ours, paper = {"full_width_dense": dense, "full_width_triangular": 35.0}, {"full_width_triangular": 35.85}
    finding = claims.triangular_degrades_less(aucs(ours, paper=paper, panel=panel, std=None))
    assert finding.verdict == verdict
    assert finding.numbers.startswith("full_width_triangular 35.00 (paper 35.85, -0.85); full_width_dense")


@pytest.mark.parametrize(("dense", "verdict"), [(18.0, "holds"), (20.0, "undecided"), (25.0, "does not hold")])
def test_triangular_layers_are_better_by_three_quarters(dense, verdict):
    """The smaller of the two counts with 1.75 times its mean and its deviation: 35 is 1.75 times 20."""
    rows = aucs({"full_width_dense": dense, "full_width_triangular": 35.0}, std=None)
    finding = claims.triangular_is_75_percent_better(rows)
    assert (finding.source, finding.verdict) == ("Section 5.2", verdict)
    assert finding.numbers.endswith(f"full_width_dense {dense:.2f}: {100 * (35 / dense - 1):+.0f} %")


@pytest.mark.parametrize(
    ("awn", "ordinary", "verdict"),
    [(0.0, 0.5, "holds"), (0.0, 0.001, "holds in part"), (0.2, 0.001, "does not hold")],
)
@pytest.mark.parametrize("method", ["awn", "awn_plain_width"])
def test_one_set_of_statistics_serves_triangular_networks_only(awn, ordinary, verdict, method):
    finding = one_set_of_statistics(drifts(shared_bn=ordinary, **{method: awn}), ["s_net", "shared_bn"], "x")
    assert finding.verdict == verdict
    assert finding.numbers == f"drift of the worst layer: {LABELS[method]} {awn:.3f}, Standard BN {ordinary:.3f}"


def test_methods_with_ordinary_layers_are_the_studys():
    """Not those of one width: a dense network trained at full width, and individual ones."""
    rows = {"mine": {"base": "s_net", "label": "Mine"}, "wide_first": {"base": "awn", "label": "wide first"}}
    drift = drifts(awn=0.0, **dict.fromkeys(("mine", "us_net_hard", "full_width_dense", "i_net", "wide_first"), 0.5))
    tables = {"bn_drift": drift, **{name: pd.DataFrame(columns=TABLES[name].names) for name in ("evaluations", "runs")}}
    [(_, finding)] = claims.own_findings(study_of(rows), tables)  # no panel of figure 2 is asked for
    assert claims.paper_findings(study_of(rows), tables) == []
    assert (finding.source, finding.verdict) == ("awnlib", "holds")
    assert finding.numbers == "drift of the worst layer: AWN 0.000, mine 0.500, us_net_hard 0.500"


@pytest.mark.parametrize(
    ("extra", "verdict"),
    [((9.4, 18.9), "holds"), ((9.4, 21.0), "holds in part"), ((2.0, 4.0), "does not hold")],
)
def test_size_of_statistics(extra, verdict):
    columns = {"label": ["US-Net(10w)", "US-Net(20w)"], "extra_pct": extra, "paper_extra_pct": [9.0, 18.0]}
    finding = claims.size_of_statistics(pd.DataFrame(columns))
    assert finding.verdict == verdict
    assert finding.numbers == f"US-Net(10w) +{extra[0]} %, US-Net(20w) +{extra[1]} %"


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ([91.0, 91.6], "holds"),
        ([89.0, 89.4], "does not hold"),
        ([91.0, 92.5], "undecided"),  # both above, by 1 and by 2
        ([91.0, 90.0], "undecided"),
        ([92.0], "undecided"),
        ([92.4], "holds"),
    ],
)
def test_two_methods_are_compared_seed_by_seed(ours, verdict):
    finding = own_checks.larger_auc(seeds(awn_all=ours, awn=[90.0, 90.5]), "awn_all", "awn")
    assert (finding.claim, finding.verdict) == ("AWN-all has a larger AUC than AWN", verdict)


def test_only_seeds_that_both_methods_have_are_compared():
    table = seeds(awn_all=[91.0, 92.0, None], awn=[90.0, 90.5, 10.0], awn_rs=[None, None])
    [(panel, finding)] = claims.own_findings(study_of({}), {"evaluations": table, "bn_drift": drifts()})
    assert panel == "LeNet-3C1L, MNIST"
    assert finding.numbers == (
        "AWN-all 91.50 ± 0.71, AWN 90.25 ± 0.35; difference +1.25 ± 0.35 over 2 seeds, above in 2: "
        "+1.00 (seed 0), +1.50 (seed 1)"
    )


def test_a_width_vector_is_compared_with_the_same_method_without():
    rows = {
        "wide_first": {"base": "awn_rs", "label": "wide first", "width_vector": {"conv1": 2.0, "conv2": 1.0}},
        "narrow_base": {"base": "awn_rs", "label": "x", "base_width_mult": 1.0},
    }
    table = seeds(awn=[90.0], awn_rs=[90.5], wide_first=[93.0], narrow_base=[80.0])
    [(_, finding)] = claims.own_findings(study_of(rows), {"evaluations": table, "bn_drift": drifts()})
    assert (finding.claim, finding.verdict) == ("wide first has a larger AUC than AWN+RS", "holds")


def test_claims_without_their_methods_are_not_listed():
    assert claims.largest_auc(aucs({"awn": 90.0, "awn_rs": 91.0})) is None
    assert claims.smallest_auc(aucs({"awn": 90.0})) is None
    assert own_checks.near_the_paper(aucs({"awn": 90.0}, paper={}), "awn") is None
    assert claims.more_recalibrated_widths(aucs({("us_net", "recal4"): 90.0})) is None
    assert claims.sampled_widths(aucs({"awn_rs": 90.0, "s_net": 80.0})) is None
    plain, awn = (accuracies({}, {method: {0.5: 90.0}}) for method in ("shared_bn", "awn_plain_width"))
    assert table1.ordinary_bn(plain) is None
    assert table1.three_quarters_beat_full(plain) is None
    assert table1.lower_overall(plain) is None
    assert table1.near_the_s_net(awn) is None
    assert claims.smaller_footprint(sizes(awn_plain_width=1)) is None
    assert claims.more_trained_widths(aucs({"awn": 90.0, "s_net": 80.0})) is None
    assert claims.triangular_degrades_less(aucs({"full_width_dense": 20.0})) is None
    assert claims.triangular_is_75_percent_better(aucs({"full_width_dense": 20.0})) is None
    assert one_set_of_statistics(drifts(awn=0.0, s_net=0.5), ["shared_bn"], "x") is None
    assert own_checks.larger_auc(seeds(awn_all=[90.0], awn=[None]), "awn_all", "awn") is None


def test_a_study_is_checked_panel_by_panel():
    panels = [{"model": "lenet_3c1l", "dataset": name} for name in ("fashion_mnist", "mnist")]
    exhibits = {"figure4": ["full_width_triangular", "awn"], "figure2": ["awn", "s_net"]}
    study = parse_study(
        {
            "study": "demo",
            "seeds": [0],
            "datasets": {name: {"source": name} for name in ("fashion_mnist", "mnist")},
            "exhibits": {
                f"any_width_networks.{name}": {"panels": panels, "methods": methods}
                for name, methods in exhibits.items()
            },
        }
    )
    rows = seeds(awn=[90.0]).assign(dataset="fashion_mnist")
    triangular = rows.assign(method="full_width_triangular", label="triangular", score=50.0)
    tables = {
        "evaluations": pd.concat([rows, triangular]),
        "runs": pd.DataFrame(columns=TABLES["runs"].names),
        "bn_drift": pd.concat([drifts(awn=0.0, s_net=0.5), drifts(awn=0.0, s_net=0.5).assign(dataset="fashion_mnist")]),
        "any_width_networks.table2": pd.concat(
            [aucs({"awn": 90.0, "s_net": 80.0}), aucs({"s_net": 1.0}, panel=PANEL | {"dataset": "mnist5k"})]
        ),
    }
    found = claims.paper_findings(study, tables)
    assert [(panel, finding.source) for panel, finding in found] == [
        ("LeNet-3C1L, Fashion-MNIST", "Table 2"),
        ("LeNet-3C1L, Fashion-MNIST", "Figure 4"),
        ("LeNet-3C1L, MNIST", "Figure 2"),
    ]
    ours = claims.own_findings(study, tables)
    assert [(panel, finding.claim[:7]) for panel, finding in ours] == [
        ("LeNet-3C1L, Fashion-MNIST", "AWN is "),
        ("LeNet-3C1L, Fashion-MNIST", "One set"),
    ]
