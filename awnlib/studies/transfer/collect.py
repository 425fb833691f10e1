"""From the records of all jobs to the tables of a width-transfer study; a failed cell is a row that says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from awnlib.jobs.provenance import merge_provenance
from awnlib.jobs.records import Record, read_record, recorded_file
from awnlib.results.columns import TABLES
from awnlib.results.schemas import read_table, write_table_files
from awnlib.studies.base import HISTORY
from awnlib.studies.transfer.cells import NONE, UNIFORM, Axis, Retraining, Search, Task
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.layout import markdown
from awnlib.studies.transfer.stages import WIDTHS, retraining_record, search_record
from awnlib.width_transfer.ledger import ALL_GRADIENTS
from awnlib.width_transfer.similarity import cosine
from awnlib.width_transfer.vector import WidthVector

Vectors = Mapping[str, WidthVector]
"""The widths of every retraining that succeeded, by its name."""


def collect(study: TransferStudy, results: Path, tables: Path) -> None:
    """Write the study's tables as parquet, CSV and, for readers, Markdown.

    Parameters
    ----------
    study
        Says which records there must be.
    results
        Folder with `searches/` and `retrained/`.
    tables
        Folder for `<table>.<suffix>`.

    Raises
    ------
    RecordError
        If a record, or a file that it names, is missing or damaged.
    """
    searches = {name: _search(search_record(results, one)) for name, one in study.searches().items()}
    batch_size = study.transfer.train.batch_size
    retrained = {
        name: _training(retraining_record(results, one), batch_size) for name, one in study.retrainings().items()
    }
    vectors = {
        name: WidthVector.load(recorded_file(retraining_record(results, cell), WIDTHS))
        for name, cell in study.retrainings().items()
        if retrained[name].state == "ok"
    }
    frames = {
        "transfer": transfer_table(study, searches, retrained),
        "widths": widths_table(study, vectors),
        "similarity": similarity_table(study, vectors),
    }
    if "datasets" in study.tables:
        frames["datasets"] = datasets_table(study, frames["transfer"], vectors)
    origin = merge_provenance(
        [record.provenance for record in [*searches.values(), *retrained.values()]], study=study.study
    )
    for name, frame in frames.items():
        write_table_files(tables / name, name, frame, origin, markdown(name, frame))


def _training(path: Path, batch_size: int) -> Record:
    """Return the record of a retraining, with the training accuracy of its last epoch and the MACs that it took."""
    record = read_record(path)
    if record.state != "ok":
        return record
    history = read_table(recorded_file(path, HISTORY))
    last = history[history["metric"] == "top1_pct"].iloc[-1]
    macs = (1 + ALL_GRADIENTS) * float(record.measured["macs"]) * int(last["step"]) * batch_size
    return replace(record, measured={**record.measured, "train_top1_pct": last["score"], "train_macs": macs})


def _search(path: Path) -> Record:
    """Return the record of a search, with the MACs of what it found before they were brought to its budget."""
    record = read_record(path)
    if record.state != "ok":
        return record
    origin = WidthVector.load(recorded_file(path, WIDTHS)).provenance
    found = origin["macs_before_matching"]
    return replace(
        record, measured={**record.measured, "found_macs_pct": 100 * sum(found) / len(found) / origin["budget_macs"]}
    )


def transfer_table(
    study: TransferStudy, searches: Mapping[str, Record], retrained: Mapping[str, Record]
) -> pd.DataFrame:
    """Return the rows of the table `transfer`.

    Parameters
    ----------
    study
        Its axes and comparisons.
    searches, retrained
        Records by the names of `study.searches()` and `study.retrainings()`.
    """
    rows = []
    for axis in study.axes():
        for cell in axis.retrainings(study.seeds):
            rows.append(_transfer_row(study, axis, cell, searches, retrained[cell.name]))
    return pd.DataFrame(rows, columns=TABLES["transfer"].names)


def _transfer_row(
    study: TransferStudy, axis: Axis, cell: Retraining, searches: Mapping[str, Record], record: Record
) -> dict[str, Any]:
    source = axis.target if cell.search is None else cell.search.task
    spent, direct = _search_macs(cell.search, searches), None
    if cell.search is not None:
        direct = _search_macs(Search(axis.target, cell.search.optimizer, cell.seed), searches)
    measured = ("test_top1_pct", "test_loss", "train_top1_pct", "macs", "target_macs", "train_macs")
    searched = {} if cell.search is None else searches[cell.search.name].measured
    return {
        "axis": axis.name,
        "kind": axis.kind,
        **_names(study, cell),
        **{f"source_{key}": value for key, value in source.configuration},
        "is_direct": cell.search is not None and source == axis.target,
        "seed": cell.seed,
        "state": record.state,
        "error": record.error,
        **{name: record.measured.get(name) for name in (*measured, "params", "train_time_s")},
        "search_macs": spent,
        "found_macs_pct": searched.get("found_macs_pct"),
        "overhead_saved_pct": 100 * (1 - spent / direct) if spent and direct else None,
        "overhead_factor": direct / spent if spent and direct else None,
        "search_time_s": searched.get("search_time_s"),
    }


def _search_macs(search: Search | None, searches: Mapping[str, Record]) -> float | None:
    """Return what a search spent; None without a search, or if it failed."""
    return None if search is None else searches[search.name].measured.get("search_macs")


def _names(study: TransferStudy, cell: Retraining) -> dict[str, str]:
    """Return the columns that name a retrained network, but for the seed."""
    row = UNIFORM if cell.search is None else cell.search.optimizer
    source = cell.target if cell.search is None else cell.search.task
    return {
        "dataset": cell.target.dataset,
        "model": cell.target.model,
        "target": cell.target.configuration.name,
        "source": source.configuration.name,
        "optimizer": row,
        "label": study.label(row),
        "extrapolation": cell.stacking or NONE,
    }


def widths_table(study: TransferStudy, vectors: Vectors) -> pd.DataFrame:
    """Return the rows of the table `widths`: every dimension of every network that was retrained."""
    cells = study.retrainings()
    rows = [
        {
            **_names(study, cells[name]),
            "seed": cells[name].seed,
            "position": position,
            "channels": channels,
            "multiplier": vector.multipliers[channels],
            "count": vector.counts[channels],
        }
        for name, vector in vectors.items()
        for position, channels in enumerate(vector.network.counts)
    ]
    return pd.DataFrame(rows, columns=TABLES["widths"].names)


def similarity_table(study: TransferStudy, vectors: Vectors) -> pd.DataFrame:
    """Return the rows of the table `similarity`: every pair of equal dimensions once, and each with the uniform one."""
    cells = study.retrainings()
    optimised = [cells[name] for name in vectors if cells[name].search is not None]
    rows = [row for cell in optimised for row in _uniform_row(study, cell, vectors)]
    nulls = {row: study.null_control(row) for row in study.transfer.optimizers}
    for pair in combinations(optimised, 2):
        if _dimensions(pair[0].target) == _dimensions(pair[1].target):
            rows.append(_pair_row(study, *_null_last(*pair, nulls), nulls, vectors))
    return pd.DataFrame(rows, columns=TABLES["similarity"].names).astype({"one_seed": "Int64", "other_seed": "Int64"})


def _pair_row(
    study: TransferStudy, one: Retraining, other: Retraining, nulls: Mapping[str, str | None], vectors: Vectors
) -> dict[str, Any]:
    multipliers = [vectors[cell.name].multipliers for cell in (one, other)]
    names = {**_vector_names(study, "one", one), **_vector_names(study, "other", other)}
    relation = "seeds" if _names(study, one) == _names(study, other) else "vectors"
    if nulls[names["one_optimizer"]] == names["other_optimizer"] and one.target == other.target:
        relation = "null"
    return {"model": one.target.model, **names, "relation": relation, "cosine": cosine(*multipliers)}


def _null_last(one: Retraining, other: Retraining, nulls: Mapping[str, str | None]) -> tuple[Retraining, Retraining]:
    """Return two optimised cells in this order, but a null control after the search that it is one of."""
    assert one.search is not None
    assert other.search is not None
    is_null = nulls[other.search.optimizer] == one.search.optimizer
    return (other, one) if is_null else (one, other)


def _uniform_row(study: TransferStudy, cell: Retraining, vectors: Vectors) -> Iterator[dict[str, Any]]:
    multipliers = vectors[cell.name].multipliers
    baseline = Retraining(cell.target, None, None, cell.seed)
    names = {**_vector_names(study, "one", cell), **_vector_names(study, "other", baseline), "other_seed": None}
    value = cosine(multipliers, dict.fromkeys(multipliers, 1.0))
    yield {"model": cell.target.model, **names, "relation": "uniform", "cosine": value}


def _vector_names(study: TransferStudy, which: str, cell: Retraining) -> dict[str, Any]:
    names = _names(study, cell)
    kept = {name: names[name] for name in ("dataset", "target", "source", "optimizer", "extrapolation")}
    return {f"{which}_{key}": value for key, value in {**kept, "seed": cell.seed}.items()}


def _dimensions(target: Task) -> tuple[str, int]:
    """Return what decides which dimensions a network has."""
    return target.model, target.configuration.depth_mult


def datasets_table(study: TransferStudy, transfer: pd.DataFrame, vectors: Vectors) -> pd.DataFrame:
    """Return the rows of the table `datasets`: accuracies on each data set, and how alike the widths are."""
    rows = []
    for name, comparison in study.transfer.comparisons.items():
        axes = [axis for axis in study.axes() if axis.name == name]
        groups = [axes[i : i + len(comparison.datasets)] for i in range(0, len(axes), len(comparison.datasets))]
        for configuration, group in zip(comparison.configurations, groups, strict=True):
            for optimizer in group[0].optimizers:
                for one in group:
                    for other in group:
                        if one is not other:
                            keys = {"comparison": name, "configuration": configuration.name}
                            rows.append(keys | _datasets_row(study, optimizer, one, other, transfer, vectors))
    return pd.DataFrame(rows, columns=TABLES["datasets"].names)


def _datasets_row(
    study: TransferStudy, optimizer: str, one: Axis, other: Axis, transfer: pd.DataFrame, vectors: Vectors
) -> dict[str, Any]:
    here = transfer[
        (transfer["axis"] == one.name)
        & (transfer["dataset"] == one.target.dataset)
        & (transfer["target"] == one.target.configuration.name)
    ]
    accuracy = {row: here.loc[here["optimizer"] == row, "test_top1_pct"].astype(float) for row in (UNIFORM, optimizer)}
    found, elsewhere = (
        {seed: vectors.get(Retraining(axis.target, Search(axis.target, optimizer, seed), None, seed).name)
         for seed in study.seeds}
        for axis in (one, other)
    )  # fmt: skip
    pairs = [(vector, elsewhere[seed]) for seed, vector in found.items()]
    between = [cosine(a.multipliers, b.multipliers) for a, b in pairs if a is not None and b is not None]
    floor = [cosine(a.multipliers, dict.fromkeys(a.multipliers, 1.0)) for a, _ in pairs if a is not None]
    return {
        "model": one.target.model,
        "optimizer": optimizer,
        "label": study.label(optimizer),
        "dataset": one.target.dataset,
        "other_dataset": other.target.dataset,
        "uniform_top1_pct": accuracy[UNIFORM].mean(),
        "optimized_top1_pct": accuracy[optimizer].mean(),
        "num_seeds": int(accuracy[optimizer].notna().sum()),
        "cosine_datasets": _mean(between),
        "cosine_uniform": _mean(floor),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
