"""What all figures share: a colour for each method, the canvas, the note on missing results, and saving."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from awnlib.files import atomic_path
from awnlib.results.exhibits import PanelConfig
from awnlib.results.titles import panel_title
from awnlib.results.variants import AS_TRAINED, variants
from awnlib.training.methods import Method, without_color

WIDTH_LABEL = "width (fraction of full width)"
MACS_LABEL = "multiply-adds per image"
ACCURACY_LABEL = "test accuracy (%)"
DOTTED, SHORT_DASHED, DASHED, DASH_DOTTED = (0, (1, 1)), (0, (2, 1)), (0, (4, 1.5)), (0, (5, 1.5, 1, 1.5))
GREY = "0.35"
LINE = 1.4  # points


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every figure."""

    color: str
    linestyle: Any = "-"
    marker: str = "o"


LINES = {
    "solid": "-",
    "dotted": DOTTED,
    "short_dashed": SHORT_DASHED,
    "dashed": DASHED,
    "dash_dotted": DASH_DOTTED,
}
VARIANT_STYLES = ((DOTTED, "o"), (DASHED, "s"), ("-", "^"))


def style_of(methods: Mapping[str, Method], method: str, variant: str) -> Style:
    """Return the style of a method's evaluation; methods without a colour of their own share out others in order."""
    style = _own_style(methods, method)
    if variant == AS_TRAINED:
        return style
    names = [one.name for one in variants(methods[method])]
    rank = names.index(variant)
    shades = sns.light_palette(style.color, 2 * len(names)).as_hex()[-len(names) :]
    linestyle, marker = VARIANT_STYLES[rank % len(VARIANT_STYLES)]
    return replace(style, color=shades[rank], linestyle=linestyle, marker=marker)


def _own_style(methods: Mapping[str, Method], method: str) -> Style:
    look = methods[method].look
    if look.color:
        return Style(look.color, LINES[look.line or "solid"], look.marker)
    others = without_color(methods)
    palette = sns.color_palette("husl", len(others)).as_hex()
    return Style(palette[others.index(method)], LINES[look.line or "dashed"], look.marker)


def theme() -> AbstractContextManager[None]:
    """Return the context that every figure is drawn in."""
    settings = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper"),
        "axes.grid": True,
        "grid.color": "0.92",
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "legend.fontsize": 7.5,
        "legend.title_fontsize": 7.5,
        "legend.columnspacing": 1.2,
        "legend.handlelength": 2.4,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
    }
    return mpl.rc_context(settings)


def canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure that pyplot knows nothing of, and its axes by row; ``size`` is one axes' in inches."""
    figure = Figure(figsize=(columns * size[0], rows * size[1]))
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08)
    axes = figure.subplots(rows, columns, squeeze=False)
    sns.despine(figure)
    return figure, [list(row) for row in axes]


def same_scale(row: Sequence[Axes]) -> None:
    """Give axes side by side one vertical scale, where there is something to compare."""
    drawn = [axes for axes in row if axes.lines]
    limits = [axes.get_ylim() for axes in drawn]
    for axes in drawn:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def say_empty(axes: Axes) -> None:
    """Say in the middle of empty axes that there is nothing to draw."""
    axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])


def note_missing(figure: Figure, methods: Mapping[str, Method], missing: Sequence[tuple[PanelConfig, str]]) -> None:
    """Name the (panel, method) pairs that could not be drawn in small print below the figure."""
    if missing:
        names = [
            f"{methods[method].label} ({panel_title(panel.model, panel.dataset, panel.test_set)})"
            for panel, method in missing
        ]
        text = textwrap.fill("missing: " + "; ".join(names), width=int(14 * figure.get_figwidth()))
        figure.supxlabel(text, fontsize=7.5, color=GREY, x=0.01, ha="left", fontstyle="italic")


def save_figure(figure: Figure, stem: str | Path) -> None:
    """Write ``<stem>.png`` (150 dots per inch) and ``<stem>.svg``; the same figure gives the same bytes."""
    with theme(), mpl.rc_context({"svg.hashsalt": "awnlib"}):
        for suffix, options in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            with atomic_path(f"{stem}.{suffix}") as temporary:
                figure.savefig(temporary, format=suffix, **options)
