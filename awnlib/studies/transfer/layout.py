"""The tables of a width-transfer study as readers see them: means over seeds, as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from awnlib.results.numbers import HOLE, number, with_spread
from awnlib.results.titles import display_name
from awnlib.studies.transfer.cells import COMPARISON, NONE, UNIFORM, configuration_title

KEYS = ["axis", "kind", "model", "dataset", "target", "source", "optimizer", "label", "extrapolation", "is_direct"]


def summarise_transfer(transfer: pd.DataFrame) -> pd.DataFrame:
    """Return means and standard deviations over the seeds of the table `transfer`, a row for each source of an axis.

    Returns
    -------
    pandas.DataFrame
        The columns that name a row; `top1_pct`, `std_pct` (n - 1; null below two seeds), `gain_pct` (over the uniform
        network of the same axis and target), `num_seeds`, `missing`; `train_pct` and `train_std_pct` of the last epoch;
        means of `overhead_saved_pct`, `overhead_factor`, `macs_error_pct` (MACs relative to the target's),
        `search_macs`, `train_macs` and `found_macs_pct`.
    """
    numbers = ["test_top1_pct", "train_top1_pct", "overhead_saved_pct", "overhead_factor", "search_macs", "train_macs"]
    numbers += ["found_macs_pct", "macs", "target_macs"]
    frame = transfer.assign(**{name: transfer[name].astype(float) for name in numbers})
    frame["macs_error_pct"] = 100 * (frame["macs"] / frame["target_macs"] - 1)
    groups = frame.groupby(KEYS, sort=False)
    means = ["overhead_saved_pct", "overhead_factor", "macs_error_pct", "search_macs", "train_macs", "found_macs_pct"]
    summary = groups[means].mean()
    accuracy, training = groups["test_top1_pct"], groups["train_top1_pct"]
    summary["train_pct"], summary["train_std_pct"] = training.mean(), training.std()
    summary["top1_pct"], summary["std_pct"], summary["num_seeds"] = accuracy.mean(), accuracy.std(), accuracy.count()
    summary["missing"] = groups.size() - summary["num_seeds"]
    summary = summary.reset_index()
    where = ["axis", "model", "dataset", "target"]
    uniform = summary.loc[summary["optimizer"] == UNIFORM, [*where, "top1_pct"]]
    baseline = summary[where].merge(uniform, on=where, how="left")["top1_pct"]
    return summary.assign(gain_pct=summary["top1_pct"] - baseline)


def similarity_bounds(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cosine with two floors, between seeds and between sources, of each optimiser and target.

    Returns
    -------
    pandas.DataFrame
        `model`, `dataset`, `target`, `optimizer`, `uniform` (the floor), `null` (with the widths of a search that sees
        no image, the second floor; null without one), `seeds` (the ceiling; null with one seed) and
        `vectors` (searches of this optimiser in different sources; two stackings of one source are no two searches).
    """
    same = similarity["relation"].isin(["uniform", "null"]) | _same(similarity, "dataset", "target", "optimizer")
    same &= (similarity["relation"] != "vectors") | between_sources(similarity)
    keys = {f"one_{key}": key for key in ("dataset", "target", "optimizer")}
    means = (
        similarity[same]
        .rename(columns=keys)
        .pivot_table(index=["model", *keys.values()], columns="relation", values="cosine", aggfunc="mean", sort=False)
    )
    return means.reindex(columns=["uniform", "null", "seeds", "vectors"]).reset_index()


def between_sources(similarity: pd.DataFrame) -> pd.Series:
    """Return which pairs are of one optimiser and target but of different sources."""
    return _same(similarity, "dataset", "target", "optimizer") & ~_same(similarity, "source")


def _same(similarity: pd.DataFrame, *names: str) -> pd.Series:
    """Return which pairs have all of these in common."""
    equal = [similarity[f"one_{name}"] == similarity[f"other_{name}"] for name in names]
    return pd.concat(equal, axis=1).all(axis=1)


def markdown(name: str, frame: pd.DataFrame) -> str:
    """Return one of the study's tables for readers."""
    layouts: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "transfer": transfer_rows,
        "widths": widths_rows,
        "similarity": similarity_rows,
        "datasets": datasets_rows,
    }
    text: str = layouts[name](frame).to_markdown(index=False, disable_numparse=True, tablefmt="github")
    return f"{text}\n"


def transfer_rows(transfer: pd.DataFrame) -> pd.DataFrame:
    """Return the table `transfer` as text: a row for each source and optimiser of an axis.

    What an older table does not have is left out.
    """
    rows = []
    for _, row in summarise_transfer(transfer).iterrows():
        rows.append(
            {
                "axis": row["axis"],
                "network, data set": f"{display_name(row['model'])}, {display_name(row['dataset'])}",
                "target": configuration_title(row["target"]),
                "widths from": _origin(row),
                "top-1, %": with_spread(row["top1_pct"], row["std_pct"]) + ("†" if row["missing"] else ""),
                "in training, %": with_spread(row["train_pct"], row["train_std_pct"]),
                "over uniform": number(row["gain_pct"], "+.2f") if row["optimizer"] != UNIFORM else "",
                "overhead saved, %": number(row["overhead_saved_pct"], ".1f"),
                "factor": number(row["overhead_factor"], ".1f"),
                "search MACs": number(row["search_macs"], ".3g"),
                "found, % of the budget": number(row["found_macs_pct"], ".1f"),
                "MACs off target, %": number(row["macs_error_pct"], "+.2f"),
            }
        )
    text = pd.DataFrame(rows)
    return text.loc[:, (text != HOLE).any()]


def widths_rows(widths: pd.DataFrame) -> pd.DataFrame:
    """Return the table `widths` as text: mean multipliers of all searches, a row for each dimension of a target."""
    found = widths[widths["optimizer"] != UNIFORM]
    keys = ["model", "dataset", "target", "position", "channels"]
    full = widths[widths["optimizer"] == UNIFORM].groupby(keys)["count"].first()
    means = found.pivot_table(index=keys, columns="label", values="multiplier", aggfunc="mean", sort=False)
    table = means.map(lambda value: number(value, ".2f"))
    table.insert(0, "uniform channels", [number(full.get(key, float("nan")), ".0f") for key in table.index])
    return _named(table.reset_index().drop(columns="position").rename_axis(columns=None))


def similarity_rows(similarity: pd.DataFrame) -> pd.DataFrame:
    """Return `similarity_bounds` as text."""
    bounds = similarity_bounds(similarity)
    names = {"uniform": "with uniform (floor)", "null": "with the null control (second floor)"}
    names |= {"vectors": "between sources", "seeds": "between seeds (ceiling)"}
    known = {name: label for name, label in names.items() if name != "null" or bounds[name].notna().any()}
    text = {label: bounds[name].astype(float).map(lambda value: number(value, ".3f")) for name, label in known.items()}
    return _named(bounds[["model", "dataset", "target", "optimizer"]]).assign(**text)


def datasets_rows(datasets: pd.DataFrame) -> pd.DataFrame:
    """Return the table `datasets` as text."""
    numbers = {
        "uniform_top1_pct": ("uniform, %", ".2f"),
        "optimized_top1_pct": ("optimised, %", ".2f"),
        "cosine_datasets": ("cosine between data sets", ".3f"),
        "cosine_uniform": ("cosine with uniform", ".3f"),
    }
    text = {
        label: datasets[name].astype(float).map(lambda value, spec=spec: number(value, spec))
        for name, (label, spec) in numbers.items()
    }
    return _named(datasets[["configuration", "model", "label", "dataset", "other_dataset"]]).assign(**text)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with networks, data sets and columns as readers know them."""
    places = {name: rows[name].map(display_name) for name in ("model", "dataset", "other_dataset") if name in rows}
    titles = {"model": "network", "dataset": "data set", "other_dataset": "other data set"}
    titles |= {"optimizer": "optimiser", "label": "optimiser", "channels": "dimension"}
    return rows.assign(**places).rename(columns=titles)


def _origin(row: Any) -> str:
    """Return where the widths of a row come from, in words."""
    if row["optimizer"] == UNIFORM:
        return UNIFORM
    place = "direct" if row["is_direct"] and row["kind"] != COMPARISON else configuration_title(row["source"])
    how = "" if row["extrapolation"] == NONE else f", {row['extrapolation'].replace('_', ' ')}"
    return f"{row['label']}, {place}{how}"
