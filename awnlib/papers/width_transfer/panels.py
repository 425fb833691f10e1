"""What a claim about a width-transfer study is given: the rows of one axis and optimiser, means over the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from awnlib.results.findings import Verdict
from awnlib.results.means import Mean, above, mean_of_row
from awnlib.results.numbers import with_spread
from awnlib.results.titles import panel_title
from awnlib.studies.transfer.cells import UNIFORM, configuration_title, ratio_of_costs
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.layout import summarise_transfer


def decisive_rows(study: TransferStudy, transfer: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `summarise_transfer` that decide claims, and what claims need besides.

    These are `algorithm`, `target_depth_mult`, `cost_ratio` (of target and source, `ratio_of_costs`) and `epochs_ratio`
    (of search and retraining). Of a comparison, only its small data set decides.
    """
    summary = summarise_transfer(transfer)
    small = small_datasets(study)
    kept = [
        small.get(axis, dataset) == dataset for axis, dataset in zip(summary["axis"], summary["dataset"], strict=True)
    ]
    algorithms = {name: row.optimizer or name for name, row in study.transfer.optimizers.items()}
    depths = {axis.name: axis.target.configuration.depth_mult for axis in study.axes()}
    known = {task.configuration.name: task.configuration for axis in study.axes() for task in axis.sources}
    ratios = [
        ratio_of_costs(known[target], known[source])
        for target, source in zip(summary["target"], summary["source"], strict=True)
    ]
    epochs = {row: study.row_settings(row)[1].get("num_epochs") for row in study.transfer.optimizers}
    ratio = summary["optimizer"].map(epochs).astype(float) / study.transfer.train.num_epochs
    return summary.assign(
        epochs_ratio=ratio,
        algorithm=summary["optimizer"].map(algorithms),
        target_depth_mult=summary["axis"].map(depths),
        cost_ratio=ratios,
    ).loc[kept]


def small_datasets(study: TransferStudy) -> dict[str, str]:
    """Return the small data set of each comparison: its first one, as in the paper's table."""
    return {name: comparison.datasets[0] for name, comparison in study.transfer.comparisons.items()}


def axes_of(summary: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the rows of each axis."""
    for (_, model, dataset), rows in summary.groupby(["axis", "model", "dataset"], sort=False):
        targets = rows["target"].unique()
        yield title_of(str(model), str(dataset), targets[0] if len(targets) == 1 else None), rows


def panels_of(summary: pd.DataFrame, optimizers: Iterable[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the rows of each axis and optimiser, with those of the uniform network."""
    for title, rows in axes_of(summary):
        for name in optimizers:
            if (rows["optimizer"] == name).any():
                yield title, rows[rows["optimizer"].isin([name, UNIFORM])]


def title_of(model: str, dataset: str, target: str | None) -> str:
    """Return the network and the data set that widths are for, and the target's configuration if there is only one."""
    return panel_title(model, dataset) + ("" if target is None else f", {configuration_title(target)}")


def kind_of(rows: pd.DataFrame) -> str:
    """Return the kind of the axis that rows are of."""
    return str(rows["kind"].iloc[0])


def found_rows(rows: pd.DataFrame, *optimizers: str) -> pd.DataFrame:
    """Return the rows of some optimisers that have an accuracy."""
    return rows[rows["optimizer"].isin(optimizers) & rows["top1_pct"].notna()]


def uniform_row(rows: pd.DataFrame) -> pd.Series | None:
    """Return the un-optimised network; None if it has no accuracy."""
    found = found_rows(rows, UNIFORM)
    return None if found.empty else found.iloc[0]


def direct_row(rows: pd.DataFrame) -> pd.Series | None:
    """Return what direct optimisation reached; None if it has no accuracy."""
    found = rows[rows["is_direct"] & rows["top1_pct"].notna()]
    return None if found.empty else found.iloc[0]


def source_rows(rows: pd.DataFrame) -> list[pd.Series]:
    """Return what came from elsewhere than the target, the cheapest source last."""
    found = rows[(rows["optimizer"] != UNIFORM) & ~rows["is_direct"] & rows["top1_pct"].notna()]
    ordered = found.sort_values("overhead_factor", na_position="first", kind="stable")
    return [row for _, row in ordered.iterrows()]


def difference(first: pd.Series, second: pd.Series) -> float:
    """Return how many points of accuracy the first row is above the second."""
    return float(first["top1_pct"] - second["top1_pct"])


def is_above(first: pd.Series, second: pd.Series) -> Verdict:
    """Return whether the first row's accuracy is above the second's."""
    return above(top1_mean(first), top1_mean(second))


def top1_mean(row: pd.Series) -> Mean:
    """Return an accuracy over the seeds."""
    return mean_of_row(row, "top1_pct", "std_pct")


def place_of(row: pd.Series) -> str:
    """Return where the widths of a row come from: "direct", or what the source has different from the target."""
    if row["is_direct"]:
        return "direct"
    target = configuration_title(row["target"]).split(", ")
    parts = [part for part in configuration_title(row["source"]).split(", ") if part not in target]
    return ", ".join([*parts, "last block stacked"] if row["extrapolation"] == "last_block" else parts)


def train_mean(row: pd.Series) -> Mean | None:
    """Return the training accuracy of the last epoch over the seeds; None where it was not kept."""
    return None if pd.isna(row["train_pct"]) else mean_of_row(row, "train_pct", "train_std_pct")


def top1_text(row: pd.Series) -> str:
    """Return an accuracy in words: ``75.00 ± 1.41``."""
    return with_spread(row["top1_pct"], row["std_pct"])
