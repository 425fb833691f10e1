"""How alike the width vectors of an axis are: pairwise cosines, a panel for each axis."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.papers.width_transfer.drawing import draw_panels
from awnlib.results.exhibits import Exhibit
from awnlib.results.style import say_empty
from awnlib.results.titles import panel_title
from awnlib.settings import Settings
from awnlib.studies.transfer.cells import COMPARISON, NONE, UNIFORM

NEEDS = ("transfer", "similarity")
SIZE = (4.6, 4.2)  # inches of a panel
VECTOR = ["optimizer", "source", "extrapolation"]
"""The columns that tell the vectors of one axis and seed apart."""
MOST_NUMBERS = 12  # rows of a heat map up to which each field carries its number


class Options(Settings):
    """There are none."""


def draw(exhibit: Exhibit, tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the cosines of each axis.

    Parameters
    ----------
    exhibit
        Has nothing to say.
    tables
        The study's tables `transfer` and `similarity`; may be empty.

    References
    ----------
    Width Transfer, figure A2.
    """
    transfer = tables["transfer"]
    axes = transfer[(transfer["kind"] != COMPARISON) & (transfer["state"] == "ok")]
    return draw_panels(axes, ["axis"], partial(_draw_similarity, similarity=tables["similarity"]), SIZE)


def _draw_similarity(axes: Axes, rows: pd.DataFrame, *, similarity: pd.DataFrame) -> None:
    """Draw the cosines of an axis' vectors: uniform ones first (the floor), seeds of one search on the diagonal."""
    first = rows.iloc[0]
    axes.set_title(f"{panel_title(first['model'], first['dataset'])}\n{first['axis']}")
    matrix = similarity_matrix(rows, similarity)
    if len(matrix) < 2:
        say_empty(axes)
        return
    sns.heatmap(
        matrix,
        ax=axes,
        square=True,
        vmin=float(np.floor(10 * np.nanmin(matrix.to_numpy())) / 10),
        vmax=1,
        cmap="viridis",
        annot=len(matrix) <= MOST_NUMBERS,
        fmt=".2f",
        annot_kws={"fontsize": 6},
        cbar_kws={"label": "cosine similarity", "shrink": 0.7},
        xticklabels=True,
        yticklabels=True,
    )
    axes.tick_params(axis="y", rotation=0)
    axes.set_facecolor("0.9")
    axes.grid(False)


def similarity_matrix(rows: pd.DataFrame, similarity: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cosines of an axis as a square frame, "uniform" first, then each optimiser's sources.

    Off the diagonal pairs of one seed are averaged; on it pairs of different seeds of the same search, which is empty
    with one seed.

    Parameters
    ----------
    rows
        The axis' rows of the table `transfer`.
    similarity
        The table of this name.
    """
    first = rows.iloc[0]
    optimised = rows[rows["optimizer"] != UNIFORM].drop_duplicates(VECTOR)
    names = {tuple(row[key] for key in VECTOR): _vector_title(row, rows) for _, row in optimised.iterrows()}
    here = similarity[similarity["model"] == first["model"]]
    for which in ("one", "other"):
        here = here[(here[f"{which}_dataset"] == first["dataset"]) & (here[f"{which}_target"] == first["target"])]
    pairs = [pair for _, row in here.iterrows() for pair in _titled(row, names)]
    ordered = ["uniform", *names.values()]
    means = pd.DataFrame(pairs, columns=["one", "other", "cosine"]).groupby(["one", "other"])["cosine"].mean()
    values = {("uniform", "uniform"): 1.0, **means.to_dict()}
    return pd.DataFrame({one: {other: values.get((one, other), np.nan) for other in ordered} for one in ordered})


def _titled(pair: pd.Series, names: Mapping[tuple[Any, ...], str]) -> list[tuple[str, str, float]]:
    """Return a pair of the table `similarity` under the titles of its vectors, both ways; nothing if it is left out."""
    one, other = (names.get(tuple(pair[f"{which}_{key}"] for key in VECTOR)) for which in ("one", "other"))
    if pair["relation"] == "uniform":
        other = "uniform"
    elif pair["relation"] != "seeds" and pair["one_seed"] != pair["other_seed"]:
        return []
    if one is None or other is None:
        return []
    return [(*titles, float(pair["cosine"])) for titles in dict.fromkeys([(one, other), (other, one)])]


def _vector_title(row: pd.Series, axis: pd.DataFrame) -> str:
    """Return the name of a vector in a heat map: optimiser, what its source has different, and how it was stacked."""
    several = len(set(axis["extrapolation"]) - {NONE}) > 1
    how = f", {row['extrapolation'].removesuffix('_block')}" if several and row["extrapolation"] != NONE else ""
    return f"{row['label']} {source_title(row)}{how}"


def source_title(row: pd.Series) -> str:
    """Return what is special about a source: "direct", or what its kind of axis varies."""
    if row["is_direct"]:
        return "direct"
    short = {
        "width": f"{row['source_width_mult']:g}x",
        "depth": f"{row['source_depth_mult']}d",
        "stacking": f"{row['source_depth_mult']}d",
        "resolution": f"{row['source_image_size']}px",
        "data": f"{100 * row['source_data_share']:g} %",
    }
    varied = ["width", "depth", *([] if pd.isna(row["source_image_size"]) else ["resolution"]), "data"]
    return short.get(row["kind"], ", ".join(short[kind] for kind in varied))
