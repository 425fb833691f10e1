"""The report of a width-transfer study: one HTML page that holds everything it shows and loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from awnlib.report.page import format_time, link, load_picture, write_page
from awnlib.results.numbers import HOLE
from awnlib.results.titles import display_name, panel_title
from awnlib.studies.base import study_yaml
from awnlib.studies.transfer.config import COMPARISON, UNIFORM, TransferStudy, configuration_title
from awnlib.studies.transfer.layout import (
    datasets_rows,
    similarity_rows,
    summarise_transfer,
    transfer_rows,
    widths_rows,
)

TEMPLATE = "transfer_report.html.jinja"
_LINES = (
    "Test accuracy of networks retrained from scratch, at the MACs of the un-optimised one (dashed), over how much of "
    "the direct search's MACs was saved. The leftmost, ringed point is direct optimisation: a horizontal line means "
    "that nothing is lost by searching in the cheaper setting. Lines are means over the seeds, bands reach from the "
    "lowest to the highest."
)
CAPTIONS = {
    "width": ("From narrower networks", _LINES),
    "depth": ("From shallower networks", _LINES),
    "stacking": ("Two ways to fill up a deeper network", _LINES),
    "resolution": ("From smaller images", _LINES),
    "data": ("From fewer images", _LINES),
    "compound": ("All four together", _LINES),
    "widths": (
        "Optimised widths",
        "Multiplier of each dimension relative to the un-optimised network of the same MACs, mean over sources and "
        "seeds with one standard deviation.",
    ),
    "similarity": (
        "How alike the widths are",
        "Cosine similarity of width vectors. The first row, with equal widths, is the floor; the diagonal, between "
        "seeds of one search, is the ceiling (empty with one seed).",
    ),
}
TABLES = {
    "transfer": (
        "Accuracy and overhead",
        transfer_rows,
        "Means ± standard deviations over the seeds; † without seeds that failed. The factor is how many times as much "
        "the direct search cost in MACs.",
    ),
    "datasets": (
        "One data set against another",
        datasets_rows,
        "Widths that were optimised directly, on each data set.",
    ),
    "similarity": ("Similarity of the widths", similarity_rows, "Means over all pairs of vectors of a target."),
    "widths": ("Widths by dimension", widths_rows, "Mean multipliers over all searches for a target."),
}


def write_transfer_report(
    path: str | Path,
    *,
    study: TransferStudy,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Path],
    provenance: Mapping[str, str],
    files: Iterable[Path] = (),
) -> None:
    """Write the report of a width-transfer study as one self-contained HTML page.

    Parameters
    ----------
    path
        The HTML file.
    study
        The configuration, shown in full.
    tables
        The study's tables by name.
    figures
        SVG or PNG files by name; they are put into the page.
    provenance
        Where the numbers come from.
    files
        Further files to link to.

    Raises
    ------
    ValueError
        If a figure is neither SVG nor PNG.
    """
    folder = Path(path).parent
    transfer = tables["transfer"]
    content = {
        "study": study,
        "summary": _summary(study, transfer),
        "findings": findings(transfer),
        "pictures": [load_picture(name, Path(figures[name]), folder, CAPTIONS) for name in CAPTIONS if name in figures],
        "tables": [
            (title, caption, layout(tables[name]))
            for name, (title, layout, caption) in TABLES.items()
            if name in tables
        ],
        "failures": _failures(transfer),
        "provenance": {name: value for name, value in provenance.items() if value},
        "configuration": study_yaml(study),
        "files": [link(Path(file), folder) for file in files],
    }
    write_page(path, TEMPLATE, content)


def findings(transfer: pd.DataFrame) -> list[str]:
    """Return a sentence for each axis and optimiser: direct search and the cheapest source against uniform widths.

    Parameters
    ----------
    transfer
        The study's table of this name; may be empty.
    """
    summary = summarise_transfer(transfer)
    sentences = []
    rows = summary[(summary["optimizer"] != UNIFORM) & summary["gain_pct"].notna()]
    for (model, dataset, axis, label), group in rows.groupby(["model", "dataset", "axis", "label"], sort=False):
        direct = group[group["is_direct"]]
        words = [f"direct {row['gain_pct']:+.2f} points over uniform" for _, row in direct.iterrows()][:1]
        cheapest = group[~group["is_direct"]].sort_values("overhead_saved_pct", na_position="first").tail(1)
        for _, row in cheapest.iterrows():
            source = configuration_title(row["source"])
            words.append(f"from {source} {row['gain_pct']:+.2f}, {row['overhead_factor']:.1f} times cheaper")
        sentences.append(f"{axis} ({panel_title(str(model), str(dataset))}), {label}: {'; '.join(words)}.")
    return sentences


def _summary(study: TransferStudy, transfer: pd.DataFrame) -> dict[str, str]:
    """Return the key figures at the top of the page."""
    cells = transfer.drop_duplicates(["model", "dataset", "target", "source", "optimizer", "extrapolation", "seed"])
    good = int((cells["state"] == "ok").sum())
    searches = cells.drop_duplicates(["model", "dataset", "source", "optimizer", "seed"])
    seconds = searches["search_time_s"].astype(float).sum() + cells["train_time_s"].astype(float).sum()
    best = transfer.loc[transfer["kind"] != COMPARISON, "overhead_factor"].astype(float).max()
    return {
        "retrainings that succeeded": f"{good} of {len(cells)}",
        "searches": str(len(study.searches())),
        "seeds": str(len(study.seeds)),
        "largest reduction of the overhead": HOLE if pd.isna(best) else f"{best:.1f} times",
        "computing time": format_time(float(seconds)),
    }


def _failures(transfer: pd.DataFrame) -> list[list[str]]:
    """Return what did not succeed, with its error."""
    lost = transfer[transfer["state"] != "ok"]
    rows = [
        [
            f"{display_name(row['model'])}, {display_name(row['dataset'])}, {configuration_title(row['target'])}",
            f"{row['label']}, {configuration_title(row['source'])}",
            str(row["seed"]),
            str(row["state"]),
            "" if pd.isna(row["error"]) else str(row["error"]),
        ]
        for _, row in lost.iterrows()
    ]
    return list(map(list, dict.fromkeys(map(tuple, rows))))
