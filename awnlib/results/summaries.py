"""What a reader wants to know first: does a paper's order hold, do BN statistics agree, what does a model store."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from awnlib.results.blocks import row_title
from awnlib.results.paper_values import PaperValues
from awnlib.tasks import Metric


@dataclass(frozen=True)
class Order:
    """How the methods of one panel rank here and in the paper.

    Attributes
    ----------
    panel
        Title of the panel.
    agree, pairs
        Of so many pairs of methods that both rank, so many come in the paper's order.
    best, paper_best
        The method with the best score.
    reversed_pairs
        One sentence for each pair in the other order, with our distance.
    """

    panel: str
    agree: int
    pairs: int
    best: str
    paper_best: str
    reversed_pairs: list[str]


def orders(table: pd.DataFrame, metric: Metric) -> list[Order]:
    """Compare the order of the methods with the paper's, panel by panel, where a table of one number each has both."""
    both = table.dropna(subset=["score", "paper_score"])
    return [
        _order(row_title(*map(str, keys)), rows, metric)
        for keys, rows in both.groupby(["model", "dataset", "paper_dataset", "test_set"], sort=False)
        if len(rows) > 1
    ]


def _order(panel: str, rows: pd.DataFrame, metric: Metric) -> Order:
    cells = list(rows[["label", "score", "paper_score"]].itertuples(index=False, name=None))
    pairs = [(first, second) for first, second in combinations(cells, 2) if first[2] != second[2]]
    here, there = ("above", "below") if metric.higher_is_better else ("below", "above")
    unit = "points " if metric.unit == "%" else f"{metric.unit} " if metric.unit else ""
    reversed_pairs = []
    for first, second in pairs:
        better, worse = (first, second) if metric.better(first[2], second[2]) else (second, first)
        if not metric.better(better[1], worse[1]):
            ours, paper = abs(worse[1] - better[1]), abs(better[2] - worse[2])
            reversed_pairs.append(f"{worse[0]} is {ours:.2f} {unit}{here} {better[0]} (paper: {paper:.2f} {there})")
    best_of = max if metric.higher_is_better else min
    best, paper_best = (best_of(cells, key=lambda cell: cell[column])[0] for column in (1, 2))
    return Order(panel, len(pairs) - len(reversed_pairs), len(pairs), best, paper_best, reversed_pairs)


def worst_drift(bn_drift: pd.DataFrame) -> pd.DataFrame:
    """Return the layer with the largest BN drift (mean over seeds) of each method and panel.

    Returns
    -------
    pandas.DataFrame
        Columns model, dataset, label, layer, drift (in pooled standard deviations).
    """
    keys = ["model", "dataset", "label"]
    layers = bn_drift[bn_drift["width_mult"].isna()]
    means = layers.groupby([*keys, "layer"], sort=False)["drift"].mean().dropna().reset_index()
    return means.loc[means.groupby(keys, sort=False)["drift"].idxmax()]


def one_row_each(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return the first row of each evaluation, of which the table has one for each test set and summarised metric.

    Individually trained networks are told apart by their width, the smallest one that they have.
    """
    return evaluations.drop_duplicates(["dataset", "model", "method", "seed", "variant", "min_width_mult"])


def model_sizes(evaluations: pd.DataFrame, runs: pd.DataFrame, paper: PaperValues) -> pd.DataFrame:
    """Return what each evaluated model stores beside its score.

    Returns
    -------
    pandas.DataFrame
        Columns model, dataset, method, label, num_switches (sets of BN statistics), params_stored, extra_pct (more than
        with ordinary BN), paper_extra_pct and score (mean over seeds, of the first test set and metric); individually
        trained networks are left out.
    """
    good = one_row_each(evaluations[(evaluations["state"] == "ok") & evaluations["score"].notna()])
    full = runs[["model", "dataset", "method", "seed", "params_full"]]
    keys = ["model", "dataset", "method", "variant", "label"]
    sizes = (
        good.merge(full, on=["model", "dataset", "method", "seed"], how="left")
        .astype(dict.fromkeys(["num_switches", "params_stored", "params_full"], float))
        .groupby(keys, sort=False)[["num_switches", "params_stored", "params_full", "score"]]
        .mean()
        .reset_index()
    )
    sizes["extra_pct"] = 100 * (sizes["params_stored"] / sizes["params_full"] - 1)
    cells = zip(sizes["model"], sizes["method"], sizes["variant"], strict=True)
    extra = [
        paper.value("model_size", model=model, method=method, variant=variant, metric="extra_size_pct")
        for model, method, variant in cells
    ]
    sizes["paper_extra_pct"] = pd.Series(extra, dtype=float)
    columns = ["num_switches", "params_stored", "extra_pct", "paper_extra_pct", "score"]
    return sizes[["model", "dataset", "method", "label", *columns]]
