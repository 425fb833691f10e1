"""The figures of a width-transfer study: its tables in, matplotlib figures out.

What is missing is named, never an error.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.results.style import ACCURACY_LABEL, DASHED, DOTTED, GREY, LINE, Style, canvas, say_empty, theme
from awnlib.results.titles import panel_title
from awnlib.studies.transfer.config import COMPARISON, FIGURES, NONE, UNIFORM, configuration_title

MAX_COLUMNS = 3
SIZE, WIDE_SIZE, HEAT_SIZE = (3.4, 3.4), (6.4, 3.0), (4.6, 4.2)  # inches of a panel
SAVED_LABEL = "width optimisation overhead saved (%)"
STYLES = {
    "dmcp": Style("#0072b2"),
    "autoslim": Style("#d55e00", marker="s"),
    "morphnet": Style("#009e73", marker="^"),
}
STACKINGS: dict[str, tuple[Any, str | None]] = {
    NONE: ("-", None),
    "average_block": ("-", None),
    "last_block": (DASHED, "x"),
}
"""Line style, and marker in place of the optimiser's."""
TARGET = ["model", "dataset", "target"]
VECTOR = ["optimizer", "source", "extrapolation"]
"""The columns that tell the vectors of one axis and seed apart."""
MOST_NAMES = 40  # of dimensions below an axis
MOST_NUMBERS = 12  # rows of a heat map up to which each field carries its number
Draw = Callable[[Axes, pd.DataFrame], None]


def draw(name: str, *, transfer: pd.DataFrame, widths: pd.DataFrame, similarity: pd.DataFrame) -> Figure:
    """Draw a figure of the study.

    Parameters
    ----------
    name
        A kind of axis ("width", "depth", ...): accuracy over the overhead saved, a panel for each axis of the kind (the
        paper's figures 3 to 6); "widths": mean multipliers over the layers, a panel for each axis' target (figure A1);
        "similarity": pairwise cosines, a panel for each axis (figure A2).
    transfer, widths, similarity
        The study's tables of these names; may be empty.

    Raises
    ------
    ValueError
        If there is no such figure; the message lists those there are.
    """
    if name in FIGURES:
        here = transfer[transfer["kind"] == name]
        return _figure(here, ["axis"], _draw_axis, SIZE)
    if name == "widths":
        shown = transfer.loc[transfer["kind"] != COMPARISON, TARGET].drop_duplicates()
        return _figure(widths.merge(shown, on=TARGET), TARGET, _draw_widths, WIDE_SIZE, most_columns=2)
    if name == "similarity":
        axes = transfer[(transfer["kind"] != COMPARISON) & (transfer["state"] == "ok")]
        return _figure(axes, ["axis"], partial(_draw_similarity, similarity=similarity), HEAT_SIZE)
    raise ValueError(f"no figure is called '{name}' (allowed: {', '.join([*FIGURES, 'widths', 'similarity'])})")


def _figure(
    rows: pd.DataFrame, keys: list[str], draw_panel: Draw, size: tuple[float, float], *, most_columns: int = MAX_COLUMNS
) -> Figure:
    """Draw one panel for each group of rows."""
    groups = [group for _, group in rows.groupby(keys, sort=False)]
    columns = max(1, min(most_columns, len(groups)))
    with theme():
        figure, grid = canvas(max(1, -(-len(groups) // columns)), columns, size)
        cells = [axes for row in grid for axes in row]
        for axes, group in zip(cells, groups, strict=False):
            draw_panel(axes, group)
        for axes in cells[max(1, len(groups)) :]:
            axes.remove()
        if not groups:
            say_empty(cells[0])
        _note_missing(figure, rows)
    return figure


def style_of(optimizer: str, others: Sequence[str] = ()) -> Style:
    """Return the style of an optimiser; rows of the study's own share out further colours in order."""
    if optimizer in STYLES:
        return STYLES[optimizer]
    new = [name for name in others if name not in STYLES]
    return Style(sns.color_palette("husl", len(new)).as_hex()[new.index(optimizer)], DOTTED, "D")


def _draw_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw accuracy over the overhead saved: a line for each optimiser and stacking, direct optimisation leftmost.

    Bands reach from the lowest to the highest seed. The baseline is the horizontal line.
    """
    first = rows.iloc[0]
    axes.set_title(f"{panel_title(first['model'], first['dataset'])}\n{configuration_title(first['target'])}")
    rows = rows.astype({"test_top1_pct": float, "overhead_saved_pct": float})
    found = rows[rows["test_top1_pct"].notna()]
    if found.empty:
        say_empty(axes)
        return
    baseline = found.loc[found["optimizer"] == UNIFORM, "test_top1_pct"]
    if len(baseline):
        axes.axhline(baseline.mean(), color="black", linewidth=LINE, linestyle=DASHED, label="uniform")
        axes.axhspan(baseline.min(), baseline.max(), color="black", alpha=0.08, linewidth=0)
    optimised = found[(found["optimizer"] != UNIFORM) & found["overhead_saved_pct"].notna()]
    names = list(dict.fromkeys(optimised["optimizer"]))
    for optimizer in names:
        own = optimised[optimised["optimizer"] == optimizer]
        stackings = [name for name in dict.fromkeys(own["extrapolation"]) if name != NONE] or [NONE]
        for stacking in stackings:
            points = own[own["extrapolation"].isin([stacking, NONE])]
            label = points["label"].iloc[0] + (f", {stacking.replace('_', ' ')}" if len(stackings) > 1 else "")
            linestyle, marker = STACKINGS[stacking]
            style = style_of(optimizer, names)
            _draw_line(axes, points, replace(style, linestyle=linestyle, marker=marker or style.marker), label)
    axes.set_xlabel(SAVED_LABEL)
    axes.set_ylabel(ACCURACY_LABEL)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.4, ncols=2)


def _draw_line(axes: Axes, points: pd.DataFrame, style: Style, label: str) -> None:
    sources = points.groupby("source")
    lines = pd.DataFrame(
        {
            "saved": sources["overhead_saved_pct"].mean(),
            "mean": sources["test_top1_pct"].mean(),
            "low": sources["test_top1_pct"].min(),
            "high": sources["test_top1_pct"].max(),
            "is_direct": sources["is_direct"].any(),
        }
    ).sort_values("saved")
    look: dict[str, Any] = {"color": style.color, "linewidth": LINE, "linestyle": style.linestyle}
    axes.plot(lines["saved"], lines["mean"], marker=style.marker, markersize=4, label=label, **look)
    axes.fill_between(lines["saved"], lines["low"], lines["high"], color=style.color, alpha=0.15, linewidth=0)
    direct = lines[lines["is_direct"]]
    axes.plot(direct["saved"], direct["mean"], linestyle="none", marker=style.marker, markersize=8,
              markerfacecolor="none", markeredgecolor=style.color)  # fmt: skip


def _draw_widths(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the mean multiplier of each dimension over sources and seeds, and one standard deviation around it."""
    first = rows.iloc[0]
    axes.set_title(f"{panel_title(first['model'], first['dataset'])}, {configuration_title(first['target'])}")
    found = rows[rows["optimizer"] != UNIFORM]
    if found.empty:
        say_empty(axes)
        return
    names = list(dict.fromkeys(found["optimizer"]))
    for optimizer in names:
        own = found[found["optimizer"] == optimizer]
        style = style_of(optimizer, names)
        dimensions = own.groupby("position")["multiplier"]
        mean, std = dimensions.mean(), dimensions.std().fillna(0.0)
        axes.plot(mean.index, mean, color=style.color, linewidth=LINE, marker=style.marker, markersize=3,
                  label=own["label"].iloc[0])  # fmt: skip
        axes.fill_between(mean.index, mean - std, mean + std, color=style.color, alpha=0.15, linewidth=0)
    axes.axhline(1.0, color="black", linewidth=LINE, linestyle=DASHED, label="uniform")
    channels = rows.drop_duplicates("position").sort_values("position")
    channels = channels.iloc[:: -(-len(channels) // MOST_NAMES)]
    axes.set_xticks(channels["position"], channels["channels"], rotation=90)
    axes.set_ylabel("width multiplier")
    axes.legend(loc="upper left", ncols=2)


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
    elif pair["relation"] == "vectors" and pair["one_seed"] != pair["other_seed"]:
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


def _note_missing(figure: Figure, rows: pd.DataFrame) -> None:
    """Name retrainings without a result in small print below the figure."""
    if "state" not in rows or not (rows["state"] != "ok").any():
        return
    lost = rows[rows["state"] != "ok"]
    names = dict.fromkeys(f"{row['label']} from {row['source']} (seed {row['seed']})" for _, row in lost.iterrows())
    text = textwrap.fill("missing: " + "; ".join(names), width=int(14 * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=7.5, color=GREY, x=0.01, ha="left", fontstyle="italic")
