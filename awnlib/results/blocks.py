"""Tables of results as readers see them: tidy rows laid out in two dimensions, as Markdown or for the HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from awnlib.results.numbers import HOLE, with_spread
from awnlib.results.titles import ONLY, display_name, panel_title


@dataclass(frozen=True)
class Cell:
    """One number with the paper's beside it."""

    ours: str
    paper: str
    is_best: bool = False

    @property
    def text(self) -> str:
        """The cell in one line: ``90.67 ± 0.12 (paper 90.67, +0.00)``."""
        return f"{self.ours} ({self.paper})" if self.paper else self.ours


@dataclass(frozen=True)
class Block:
    """One table for readers: ``rows`` hold a name and a cell per column after the first; None: not asked for."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Cell | None]]]
    notes: list[str]


def markdown(blocks: Sequence[Block]) -> str:
    """Return blocks as Markdown tables with footnotes."""
    return "\n".join(map(_block_markdown, blocks))


def row_title(model: str, dataset: str, paper_dataset: str, test_set: str = ONLY) -> str:
    """Return the panel's name and, where another data set stands in for it, the paper's."""
    stand_in = "" if dataset == paper_dataset else f" (paper: {display_name(paper_dataset)})"
    return panel_title(model, dataset, test_set) + stand_in


def row_titles(frame: pd.DataFrame) -> list[str]:
    """Return the title of each row's panel."""
    keys = [frame[name].tolist() for name in ("model", "dataset", "paper_dataset", "test_set")]
    return [row_title(*panel) for panel in zip(*keys, strict=True)]


def block(
    title: str,
    corner: str,
    frame: pd.DataFrame,
    column: str,
    *,
    by_row: bool,
    lower_is_better: bool = False,
    words: str = "percentage points",
    spec: str = ".2f",
) -> Block:
    """Lay out one block of rows of the table `exhibit`, whose column `row` holds the names of its rows.

    The best number is looked for along the methods: by row or by column. `words` say what differences are in, and
    `spec` is the format of numbers. A column `gain`, if there is one, says by how much a number is better than another,
    and is shown with it.
    """
    best = frame.groupby("row" if by_row else column)["score"].transform("min" if lower_is_better else "max")
    is_best = (frame["score"] == best) & frame["score"].notna()
    cells = {
        (row["row"], row[column]): _cell(row, bool(top), spec)
        for (_, row), top in zip(frame.iterrows(), is_best, strict=True)
    }
    columns, names = list(dict.fromkeys(frame[column])), list(dict.fromkeys(frame["row"]))
    rows = [(name, [cells.get((name, key)) for key in columns]) for name in names]
    return Block(title, [corner, *columns], rows, _notes(frame, words))


def _cell(row: pd.Series, is_best: bool, spec: str) -> Cell:
    paper = "" if pd.isna(row["paper_score"]) else f"paper {row['paper_score']:.2f}"
    if pd.isna(row["score"]):
        return Cell(HOLE, paper)
    difference = "" if pd.isna(row["difference"]) else f", {row['difference']:+.2f}"
    gain = "" if pd.isna(row.get("gain")) else f" [{row['gain']:+.2f}]"
    ours = with_spread(row["score"], row["std"], spec) + gain + ("†" if row["missing"] else "")
    return Cell(ours, paper + difference, is_best)


def _notes(frame: pd.DataFrame, words: str) -> list[str]:
    seeds = sorted({int(number) for number in frame["num_seeds"] if number})
    notes = []
    if seeds:
        numbers = " to ".join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))
        notes.append(f"Mean ± standard deviation over {numbers} seeds." if seeds[-1] > 1 else "One seed.")
    if frame["paper_score"].notna().any():
        unit = f" in {words}" if words else ""
        notes.append(f"With it the paper's number and the difference (ours minus the paper's){unit}.")
    if frame["score"].isna().any():
        notes.append(f"{HOLE} no result.")
    partial = frame.loc[frame["score"].notna(), "missing"]
    if partial.any():
        notes.append(f"† without the seeds that failed (at most {partial.max()}).")
    return notes


def _block_markdown(block: Block) -> str:
    lines = [f"**{block.title}**", ""]
    lines.append("| " + " | ".join(block.columns) + " |")
    lines.append("|---" + "|---:" * (len(block.columns) - 1) + "|")
    for name, cells in block.rows:
        lines.append("| " + " | ".join([name, *(cell.text if cell else "" for cell in cells)]) + " |")
    return "\n".join([*lines, "", " ".join(block.notes), ""])
