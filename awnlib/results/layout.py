"""The paper's tables as readers see them: tidy rows laid out in two dimensions, as Markdown or for the HTML report.

Table 1 becomes one block per panel and metric (methods down, widths across), Table 2 one block (panels down, methods
across).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from awnlib.results.numbers import HOLE, with_spread
from awnlib.results.titles import display_name, panel_title

METRICS = {"train_top1_pct": "Training accuracy", "test_top1_pct": "Test accuracy"}


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


def blocks(frame: pd.DataFrame, name: str) -> list[Block]:
    """Lay out the tidy frame of "table1" or "table2" for readers."""
    if name == "table2":
        rows = frame.assign(row=[row_title(*keys) for keys in zip(*_panel_columns(frame), strict=True)])
        return [_block("AUC of the width-accuracy curve, %", "model, data set", rows, "label", by_row=True)]
    frame = frame.assign(row=frame["label"], width=[f"w = {width:.2f}" for width in frame["width_mult"]])
    return [
        _block(f"{METRICS[str(metric)]}, %: {row_title(*map(str, panel))}", "method", rows, "width", by_row=False)
        for (*panel, metric), rows in frame.groupby(["model", "dataset", "paper_dataset", "metric"], sort=False)
    ]


def markdown(frame: pd.DataFrame, name: str) -> str:
    """Return the tidy frame of "table1" or "table2" as Markdown tables with footnotes."""
    return "\n".join(_block_markdown(block) for block in blocks(frame, name))


def row_title(model: str, dataset: str, paper_dataset: str) -> str:
    """Return the panel's name and, where another data set stands in for it, the paper's."""
    stand_in = "" if dataset == paper_dataset else f" (paper: {display_name(paper_dataset)})"
    return panel_title(model, dataset) + stand_in


def _panel_columns(frame: pd.DataFrame) -> list[list[str]]:
    return [frame[name].tolist() for name in ("model", "dataset", "paper_dataset")]


def _block(title: str, corner: str, frame: pd.DataFrame, column: str, *, by_row: bool) -> Block:
    """Lay out one block; the best number is looked for along the methods: by row or by column."""
    best = frame.groupby("row" if by_row else column)["value_pct"].transform("max")
    is_best = (frame["value_pct"] == best) & frame["value_pct"].notna()
    cells = {
        (row["row"], row[column]): _cell(row, bool(top))
        for (_, row), top in zip(frame.iterrows(), is_best, strict=True)
    }
    columns, names = list(dict.fromkeys(frame[column])), list(dict.fromkeys(frame["row"]))
    rows = [(name, [cells.get((name, key)) for key in columns]) for name in names]
    return Block(title, [corner, *columns], rows, _notes(frame))


def _cell(row: pd.Series, is_best: bool) -> Cell:
    paper = "" if pd.isna(row["paper_pct"]) else f"paper {row['paper_pct']:.2f}"
    if pd.isna(row["value_pct"]):
        return Cell(HOLE, paper)
    difference = "" if pd.isna(row["difference_pct"]) else f", {row['difference_pct']:+.2f}"
    ours = with_spread(row["value_pct"], row["std_pct"]) + ("†" if row["missing"] else "")
    return Cell(ours, paper + difference, is_best)


def _notes(frame: pd.DataFrame) -> list[str]:
    seeds = sorted({int(number) for number in frame["num_seeds"] if number})
    notes = []
    if seeds:
        numbers = " to ".join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))
        notes.append(f"Mean ± standard deviation over {numbers} seeds." if seeds[-1] > 1 else "One seed.")
    if frame["paper_pct"].notna().any():
        notes.append("With it the paper's number and the difference (ours minus the paper's) in percentage points.")
    if frame["value_pct"].isna().any():
        notes.append(f"{HOLE} no result.")
    partial = frame.loc[frame["value_pct"].notna(), "missing"]
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
