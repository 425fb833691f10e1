"""Every number on the page of published results, computed again from the parquet files beside it.

The page is written from these files (`test_publish` compares it byte by byte). Here the derived tables are computed
from those they were derived from, in a slow and obvious way, and so is every number of the notes, which are by hand.
"""

import re

import numpy as np
import pytest

from awnlib.results.paper_values import paper_values
from awnlib.results.schemas import read_table

WIDTHS = ["all_widths", "awn_on_transferred_widths", "awn_short", "cifar10", "fashion_mnist", "fashion_mnist_sampling"]
STUDIES = [*WIDTHS, "reinforcement_small", "us_nets_small", "width_transfer_small"]
PAPER = paper_values("any_width_networks")


@pytest.fixture(scope="module")
def read(repository):
    return lambda study, name: read_table(repository / f"docs/results/{study}/{name}.parquet")


def over_seeds(evaluations, row):
    keys = ["model", "dataset", "method", "variant", "metric", "test_set"]
    here = evaluations[(evaluations[keys] == row[keys]).all(axis=1)]
    return here["score"].to_numpy()


@pytest.mark.parametrize("study", WIDTHS)
def test_table_2_is_the_mean_of_the_evaluations(read, study):
    table, evaluations = read(study, "any_width_networks.table2"), read(study, "evaluations")
    assert len(table)
    for _, row in table.iterrows():
        scores = over_seeds(evaluations, row)
        assert len(scores) == row["num_seeds"] > 0
        assert row["score"] == pytest.approx(np.mean(scores))
        if len(scores) > 1:
            assert row["std"] == pytest.approx(np.std(scores, ddof=1))


@pytest.mark.parametrize("study", ["cifar10", "fashion_mnist"])
def test_an_evaluation_is_the_area_under_its_sweep(read, study):
    evaluations, sweep = read(study, "evaluations"), read(study, "sweep")
    for _, row in evaluations.iterrows():
        cell = ["method", "variant", "seed", "metric", "test_set"]
        curve = sweep[(sweep[cell] == row[cell]).all(axis=1)].sort_values("width_mult")
        widths, scores = curve["width_mult"].to_numpy(), curve["score"].to_numpy()
        area = sum((scores[1:] + scores[:-1]) / 2 * np.diff(widths))
        assert row["score"] == pytest.approx(area / (widths[-1] - widths[0]))


def test_what_a_search_saves_follows_from_its_macs(read):
    transfer = read("width_transfer_small", "transfer")
    searched = transfer[transfer["search_macs"].notna()]
    direct = searched[searched["is_direct"]].set_index(["axis", "dataset", "target", "optimizer", "seed"])[
        "search_macs"
    ]
    for _, row in searched.iterrows():
        macs = direct[row["axis"], row["dataset"], row["target"], row["optimizer"], row["seed"]]
        assert row["overhead_factor"] == pytest.approx(macs / row["search_macs"])
        assert row["overhead_saved_pct"] == pytest.approx(100 * (1 - row["search_macs"] / macs))


def vectors(widths):
    keys = ["dataset", "target", "source", "optimizer", "extrapolation", "seed"]
    return {(model, *key): rows.set_index("channels")["multiplier"]
            for (model, *key), rows in widths.groupby(["model", *keys])}  # fmt: skip


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_similarity_follows_from_the_widths(read):
    similarity, known = read("width_transfer_small", "similarity"), vectors(read("width_transfer_small", "widths"))
    keys = ["dataset", "target", "source", "optimizer", "extrapolation", "seed"]
    for _, row in similarity.iterrows():
        one = known[row["model"], *(row[f"one_{key}"] for key in keys)]
        other = (
            0 * one + 1 if row["relation"] == "uniform" else known[row["model"], *(row[f"other_{key}"] for key in keys)]
        )
        assert row["cosine"] == pytest.approx(cosine(one, other.reindex(one.index)), abs=1e-9)


def test_two_data_sets_are_compared_by_their_direct_widths(read):
    datasets, known = read("width_transfer_small", "datasets"), vectors(read("width_transfer_small", "widths"))
    targets = {"cifar10_jpeg": "w0.25-d1-s1", "tiny_imagenet_100": "w0.25-d1-r64-s1"}
    for _, row in datasets.iterrows():
        pairs = [
            [known[row["model"], name, targets[name], targets[name], row["optimizer"], "none", seed]
             for name in (row["dataset"], row["other_dataset"])]
            for seed in (0, 1)
        ]  # fmt: skip
        assert row["cosine_datasets"] == pytest.approx(np.mean([cosine(*pair) for pair in pairs]))
        assert row["cosine_uniform"] == pytest.approx(np.mean([cosine(one, 0 * one + 1) for one, _ in pairs]))


def aucs(read, study, label, dataset=None):
    """Return the AUC of each seed."""
    found = read(study, "evaluations").query("label == @label")
    return (found if dataset is None else found[found["dataset"] == dataset]).set_index("seed")["score"]


def notes_of_all_widths(read):
    def auc(label, dataset):
        return aucs(read, "all_widths", label, dataset)

    gain = auc("AWN-all", "cifar10_jpeg") - auc("AWN", "cifar10_jpeg")
    against = auc("AWN-all", "cifar10_jpeg") - auc("AWN+RS", "cifar10_jpeg")
    assert (gain > 0).all()
    assert 0 < (against > 0).sum() < 3
    means = [auc(label, "fashion_mnist").mean() for label in ("AWN", "AWN+RS", "AWN-all")]
    yield f"above AWN for every seed, by {gain.mean():.2f} points of AUC on average"
    yield f"the three lie within {max(means) - min(means):.2f} points"


def notes_of_awn_on_transferred_widths(read):
    study, runs = "awn_on_transferred_widths", read("awn_on_transferred_widths", "runs")
    params = runs.groupby("label")["params_full"].first()
    found = {}
    for label in ("AWN+RS (DMCP)", "AWN+RS (DMCP at half the width)", "AWN+RS (MorphNet at half the width)"):
        gain = aucs(read, study, label) - aucs(read, study, "AWN+RS")
        found[label] = gain, 100 * params[label] / params["AWN+RS"]
    (direct, direct_pct), (half, half_pct), (morphnet, morphnet_pct) = found.values()
    assert ((direct > 0).sum(), (half > 0).sum(), (morphnet > 0).sum()) == (2, 2, 0)
    yield f"are {direct.mean():.2f} points of AUC above uniform ones"
    yield f"half the width {half.mean():.2f}, each in two of three seeds"
    yield f"with {direct_pct:.0f} % and {half_pct:.0f} % of the weights"
    yield f"are {-morphnet.mean():.2f} below, with {morphnet_pct:.0f} %"


def notes_of_awn_short(read):
    table1 = read("awn_short", "any_width_networks.table1").query("label != 'AWN'")
    gap = (table1["score"] - table1["paper_score"]).abs()
    is_test = table1["test_set"] == "test"
    train, s_net = gap[~is_test], gap[is_test & (table1["label"] == "S-Net")]
    full = {label: aucs(read, "awn_short", label, "cifar10_jpeg").item() for label in ("triangular", "dense")}
    cell = {"dataset": "cifar10", "test_set": "test", "model": "lenet_3c1l", "variant": "as_trained"}
    paper = {name: PAPER.value("figure6", method=f"full_width_{name}", metric="top1_pct", **cell) for name in full}
    us_net = us_net_paper("recal20")
    yield f"is within {train.max():.2f} points of the paper's after 4 epochs"
    yield f"S-Net within {s_net.max():.2f}"
    yield f"triangular layers keep {full['triangular']:.2f} % over all widths and dense ones {full['dense']:.2f} %"
    yield f"(paper: {paper['triangular']:.2f} % and {paper['dense']:.2f} %)"
    more, of_paper = (100 * (found["triangular"] / found["dense"] - 1) for found in (full, paper))
    yield f"{more:.0f} % more, where the paper has {of_paper:.0f} %"
    short = aucs(read, "awn_short", "US-Net(20w)", "fashion_mnist").item()
    yield f"US-Net(20w) is {us_net - short:.2f} points below the paper"
    yield f"20 epochs {us_net - aucs(read, 'fashion_mnist', 'US-Net(20w)').mean():.2f} (the study fashion_mnist)"


def us_net_paper(variant):
    cell = {"dataset": "fashion_mnist", "test_set": "test", "model": "lenet_3c1l", "method": "us_net"}
    return PAPER.value("table2", variant=variant, metric="top1_pct", **cell)


def notes_of_cifar10(_):
    return []


def notes_of_fashion_mnist(read):
    def auc(label):
        return aucs(read, "fashion_mnist", label)

    hard, soft, gains = [], [], []
    for widths in (4, 10, 20):
        paper = us_net_paper(f"recal{widths}")
        hard.append(f"{auc(f'US-Net-hard({widths}w)').mean() - paper:+.2f}")
        soft.append(f"{auc(f'US-Net({widths}w)').mean() - paper:+.2f}")
        gains.append(auc(f"US-Net-hard({widths}w)") - auc(f"US-Net({widths}w)"))
    assert all((gain > 0).all() for gain in gains)
    ranges = [f"{gain.min():.2f} to {gain.max():.2f}" for gain in gains]
    yield f"{hard[0]}, {hard[1]} and {hard[2]} points at 4, 10 and 20 widths"
    yield f"the distilled one {soft[0]}, {soft[1]} and {soft[2]}"
    yield f"by {ranges[0]} points at 4 widths, {ranges[1]} at 10 and {ranges[2]} at 20"
    first = ", ".join(f"{label} ({auc(label).mean():.2f})" for label in ("AWN", "AWN+RS", "AWN-all"))
    yield f"{first} and US-Net-hard(20w) ({auc('US-Net-hard(20w)').mean():.2f})"
    s_net = auc("S-Net")
    yield f"{auc('US-Net(4w)').mean() - s_net.mean():.2f} below US-Net(4w)"
    yield f"its own seeds spread by {s_net.max() - s_net.min():.2f} points"
    short = aucs(read, "awn_short", "S-Net", "fashion_mnist").item()
    yield f"(the study awn_short) it is {short:.2f}, with 20 it is {s_net.mean():.2f}"


def notes_of_fashion_mnist_sampling(read):
    awn, sampled = (aucs(read, "fashion_mnist_sampling", label) for label in ("AWN", "AWN+RS"))
    cell = {"dataset": "fashion_mnist", "test_set": "test", "model": "lenet_3c1l", "variant": "as_trained"}
    paper = {method: PAPER.value("table2", method=method, metric="top1_pct", **cell) for method in ("awn", "awn_rs")}
    assert max(abs(awn.mean() - paper["awn"]), abs(sampled.mean() - paper["awn_rs"])) < 0.5
    yield f"first on Fashion-MNIST, {paper['awn_rs'] - paper['awn']:.2f} points above AWN"
    yield f"Seed 0 alone has AWN {awn[0] - sampled[0]:.2f} above"
    yield f"AWN+RS is first, {(sampled - awn).mean():.2f} above on average"
    yield f"AWN's seeds lie {np.ptp(awn):.2f} apart, those of AWN+RS {np.ptp(sampled):.2f}"


def notes_of_width_transfer_small(read):
    table = read("width_transfer_small", "transfer").groupby(["axis", "source", "optimizer", "is_direct"])
    means = table[["test_top1_pct", "overhead_factor"]].mean().reset_index()

    def row(axis, optimizer, source=None):
        found = means[(means["axis"] == axis) & (means["optimizer"] == optimizer)]
        return (found[found["is_direct"]] if source is None else found[found["source"] == source]).iloc[0]

    def gain(axis, optimizer, *, source=None, over=None):
        other = means[(means["axis"] == axis) & (means["optimizer"] == "uniform")].iloc[0] if over is None else over
        return row(axis, optimizer, source)["test_top1_pct"] - other["test_top1_pct"]

    def carried(axis, source):
        change = gain(axis, "dmcp", source=source, over=row(axis, "dmcp"))
        return change, row(axis, "dmcp", source)["overhead_factor"]

    change, factor = carried("width", "w0.177-d1-s1")
    yield f"from half the width are {-change:.2f} points below direct optimisation ({factor:.1f} times cheaper)"
    change, factor = carried("resolution", "w0.25-d1-r32-s1")
    yield f"from 32 pixels {change:.2f} above ({factor:.1f} times)"
    change, factor = carried("data", "w0.35-d1-s0.2")
    yield f"from a fifth of the images {change:.2f} above ({factor:.1f} times)"
    near, far = carried("compound", "w0.177-d1-r40-s0.5"), carried("compound", "w0.125-d1-r32-s0.2")
    yield f"{near[0]:.2f} above ({near[1]:.1f} times) and {-far[0]:.2f} below ({far[1]:.1f} times"
    yield f"by {gain('width', 'dmcp'):.2f} with DMCP over the width"
    yield f"by {gain('depth', 'morphnet'):.2f} with MorphNet over the depth"
    yield f"MorphNet is {-gain('width', 'morphnet'):.2f} and {-gain('data', 'morphnet'):.2f} below uniform widths"
    small = means[(means["axis"] == "stand_ins") & (means["source"] == "w0.25-d1-s1")].set_index("optimizer")
    change = small["test_top1_pct"]["dmcp"] - small["test_top1_pct"]["uniform"]
    yield f"DMCP's own widths are {-change:.2f} points below uniform ones at 0.25x"
    yield f"and {-gain('data', 'dmcp'):.2f} below in MobileNetV2, but {gain('width', 'dmcp'):.2f} above at 0.354x"
    folds = [
        gain("data", "dmcp_folds", source=source, over=row("data", "dmcp", source))
        for source in ("w0.35-d1-s1", "w0.35-d1-s0.5", "w0.35-d1-s0.2")
    ]
    yield f"({folds[0]:.2f}, {folds[1]:.2f} and {folds[2]:.2f}), at twice its price"
    same, floor = similar(read, "dmcp", "w0.354-d1-s1"), similar(read, "dmcp", "w0.25-d1-r64-s1")
    yield f"(DMCP {same[0]:.3f} and {floor[0]:.3f}, floors {same[1]:.3f} and {floor[1]:.3f})"
    between, uniform = similar(read, "dmcp", "w0.25-d2-r48-s1")
    yield f"are less alike ({between:.3f}) than they are like uniform ones ({uniform:.3f})"
    yield f"close to uniform ones ({similar(read, 'morphnet', 'w0.35-d1-s1')[1]:.3f})"
    deep = row("depth", "uniform", "w0.25-d3-s1")["test_top1_pct"]
    yield f"(uniform {deep:.2f}; {small['test_top1_pct']['uniform']:.2f} at plain depth)"


def similar(read, optimizer, target):
    """Return the mean cosine between sources and with uniform widths."""
    pairs = read("width_transfer_small", "similarity").query("one_optimizer == @optimizer and one_target == @target")
    same = (pairs["other_optimizer"] == optimizer) & (pairs["other_target"] == target)
    between = pairs[same & (pairs["one_source"] != pairs["other_source"])]
    return between["cosine"].mean(), pairs[pairs["relation"] == "uniform"]["cosine"].mean()


def notes_of_reinforcement_small(read):
    sweep = read("reinforcement_small", "sweep").set_index("metric")
    assert set(sweep.loc["games", "score"]) == {128}
    highest = sweep.loc["return_error", "score"].max()
    yield f"at most {np.ceil(100 * highest) / 100:.2f} points"
    table = read("reinforcement_small", "us_nets.figure5_returns").dropna(subset="width_mult")
    returns = table.pivot_table(index="method", columns="width_mult", values="score")
    gains = returns - returns.loc["i_net"]
    policy, plain, any_width = (gains.loc[name] for name in ("us_net_policy", "us_net", "awn"))
    yield f"by {policy.min():.2f} to {policy.max():.2f} points"
    yield f"is not: {plain.min():+.2f} to {plain.max():+.2f}"
    assert (any_width.drop(0.25) > 0).all()
    yield f"without distillation is {-any_width[0.25]:.2f} points below"
    yield f"it is {gains.loc['awn_policy', 0.25]:.2f} above there"


def notes_of_us_nets_small(read):
    def errors(table):
        rows = read("us_nets_small", f"us_nets.{table}")
        return rows.assign(width=rows["width_mult"].fillna(0)).set_index(["method", "variant", "width"])["score"]

    def mean(table, method):
        return errors(table).xs(0, level="width")[method].item()

    i_net, s_net, us_net, hard = (mean("table1", method) for method in ("i_net", "s_net", "us_net", "us_net_hard"))
    yield f"the S-Net is {i_net - s_net:.2f} points better than individual networks"
    yield f"the US-Net {us_net - i_net:.2f} points worse"
    rules = errors("table2").droplevel("variant").unstack("width").rename(lambda name: name.removeprefix("us_net_"))
    assert rules[0].idxmin() == "random"
    assert set(rules.columns[(rules.loc["3_hard"] < rules.loc["random"])]) == {0.25}
    yield f"{rules[0]['3_hard'] - rules[0]['random']:.2f} points below that of the sandwich rule"
    yield f"the mean error is {rules[0]['min_random'] - rules[0]['max_random']:.2f} points larger"
    ways = errors("table3")["us_net"].unstack("variant").drop(index=0)
    assert len(ways.columns) == 4
    yield f"at most {(ways.max(axis=1) - ways.min(axis=1)).max():.2f} points apart at each width"
    assert hard < s_net
    yield f"from {us_net:.2f} to {hard:.2f} %"


SETTINGS = r"0\.25x|0\.354x|rate of 0\.05|difference of 2\.3"
"""Decimals that are no results."""


@pytest.mark.parametrize("study", STUDIES)
def test_every_number_of_the_notes_is_that_of_the_tables(repository, read, study):
    """What was never published stands below "Not kept"; above it no decimal is left that is not computed here."""
    text = " ".join((repository / f"docs/results/{study}/notes.md").read_text(encoding="utf-8").split())
    kept = text.split("Not kept:")[0]
    for phrase in globals()[f"notes_of_{study}"](read):
        assert phrase in kept
        kept = kept.replace(phrase, "")
    assert re.findall(r"\d*\.\d+", re.sub(SETTINGS, "", kept)) == []


def test_every_published_study_is_checked(repository):
    studies = {path.parent.name for path in (repository / "docs/results").glob("*/study.yaml")}
    assert studies == set(STUDIES)
