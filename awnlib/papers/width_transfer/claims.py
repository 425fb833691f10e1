"""What the Width Transfer paper claims beside what was measured: one function a claim, over rows of the tables.

A function is given what one optimiser reached on one axis and returns None where its claim does not apply. Claims about
the vectors themselves are in `vectors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from awnlib.papers.width_transfer.folds import folded_rows, folds_help, has_folds
from awnlib.papers.width_transfer.null_control import null_findings
from awnlib.papers.width_transfer.panels import (
    axes_of,
    decisive_rows,
    difference,
    direct_row,
    found_rows,
    is_above,
    kind_of,
    panels_of,
    place_of,
    source_rows,
    top1_mean,
    top1_text,
    train_mean,
    uniform_row,
)
from awnlib.papers.width_transfer.vectors import vector_findings
from awnlib.results.findings import Finding, Verdict, all_hold, joined
from awnlib.results.means import above, alike
from awnlib.results.numbers import with_spread
from awnlib.studies.transfer.cells import COMPARISON, configuration_title
from awnlib.studies.transfer.config import TransferStudy

NEAR = 0.5  # percentage points; the largest loss that the paper has words for is 0.4 (section 4.1)
REDUCTION = 320  # times, section 4.5
COST, COST_MARGIN = 2.0, 0.5  # times a training, section 1; PAPER_EPOCHS of a search relative to it, appendix A
PAPER_EPOCHS = 40 / 100
MUCH_DEEPER = 3  # depth multiplier of a ResNet18 from which DMCP gains nothing in table 1 of appendix C
PLACES = {
    "width": "Section 4.1, Figure 3",
    "depth": "Section 4.2, Figure 3",
    "resolution": "Section 4.3, Figure 5",
    "data": "Section 4.4, Figure 5",
    "compound": "Section 4.5, Figure 6",
}
SOURCES = {
    "width": "narrower networks",
    "depth": "shallower networks",
    "resolution": "smaller images",
    "data": "fewer images",
    "compound": "compound projections",
}
KEPT = {"width": 96, "depth": 75, "resolution": 75, "data": 90}
"""By kind of axis, how much of the search may be saved (%) so that accuracy is still that of direct optimisation."""
STILL_BETTER = {"width": 96, "resolution": 96, "data": 95}
"""The same so that widths still beat uniform ones."""
MOBILENET_SAVED = 83  # of the width, section 4.1, both ways
ROUNDING = 1  # percentage points: the paper saves what the multipliers say, the ledger what they cost
Check = Callable[[pd.DataFrame], Finding | None]


def paper_findings(study: TransferStudy, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check every claim of the paper that the tables of a study can decide.

    Parameters
    ----------
    study
        Says which optimiser a row of `optimizers` is. Rows with folds and null controls are not the paper's.
    tables
        "transfer", "widths" and "similarity".

    Returns
    -------
    list
        (title of the panel, finding) pairs.
    """
    rows = study.transfer.optimizers
    labels = {row: study.label(row) for row in rows if not has_folds(study, row) and not study.is_null_control(row)}
    panels = panels_of(decisive_rows(study, tables["transfer"]), labels)
    found = [(panel, check(rows)) for panel, rows in panels for check in CHECKS]
    found += [(panel, dmcp_is_best(rows, labels)) for panel, rows in axes_of(decisive_rows(study, tables["transfer"]))]
    found += vector_findings(study, tables, labels)
    return [(panel, finding) for panel, finding in found if finding]


def own_findings(study: TransferStudy, tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, Finding]]:
    """Check whether a search with folds finds better widths than without, and compare searches with null controls."""
    axes = list(axes_of(decisive_rows(study, tables["transfer"])))
    found = [(panel, folds_help(rows, row, other)) for row, other in folded_rows(study) for panel, rows in axes]
    found += null_findings(study, tables)
    return [(panel, finding) for panel, finding in found if finding]


def direct_beats_uniform(rows: pd.DataFrame) -> Finding | None:
    """Figures 3, 5 and 6: directly optimised widths beat uniform ones of the same MACs; not in a very deep ResNet18."""
    kind, direct, uniform = kind_of(rows), direct_row(rows), uniform_row(rows)
    if kind not in PLACES or direct is None or uniform is None:
        return None
    numbers = f"direct {top1_text(direct)}, uniform {top1_text(uniform)} ({difference(direct, uniform):+.2f})"
    if direct["model"] == "resnet18" and direct["target_depth_mult"] >= MUCH_DEEPER:
        claim = f"{direct['label']} gains at most {NEAR:g} points over uniform widths in a much deeper ResNet18"
        return Finding("Section 4.2, Figure 3", claim, _not_below(uniform, direct), numbers)
    claim = f"{direct['label']}'s directly optimised widths beat uniform ones"
    return Finding(PLACES[kind], claim, is_above(direct, uniform), numbers)


def sources_keep_accuracy(rows: pd.DataFrame) -> Finding | None:
    """Sections 4.1 to 4.4: widths from cheaper sources, up to a limit, are as good as those of direct optimisation."""
    kind, direct, sources = kind_of(rows), direct_row(rows), _sources_within(rows, KEPT)
    if direct is None or not sources or _is_morphnets_exception(direct):
        return None
    if kind == "data" and direct["algorithm"] != "dmcp":
        return None
    claim = f"{direct['label']}'s widths from {SOURCES[kind]} are at most {NEAR:g} points below direct optimisation"
    verdict = joined([_not_below(source, direct) for source in sources])
    return Finding(PLACES[kind], claim, verdict, f"direct {top1_text(direct)}; {_compared(sources, direct)}")


def sources_beat_uniform(rows: pd.DataFrame) -> Finding | None:
    """Sections 4.1, 4.3 and 4.4: widths from cheaper sources, up to a limit, beat uniform ones of the same MACs."""
    kind, uniform, sources = kind_of(rows), uniform_row(rows), _sources_within(rows, STILL_BETTER)
    if uniform is None or not sources or _is_morphnets_exception(sources[0]):
        return None
    claim = f"{sources[0]['label']}'s widths from {SOURCES[kind]} still beat uniform ones"
    verdict = joined([is_above(source, uniform) for source in sources])
    return Finding(PLACES[kind], claim, verdict, f"uniform {top1_text(uniform)}; {_compared(sources, uniform)}")


def morphnet_needs_resolution(rows: pd.DataFrame) -> Finding | None:
    """Section 4.3: MorphNet's widths for ResNet18 from the smallest images are worse than direct optimisation."""
    direct, sources = direct_row(rows), source_rows(rows)
    if direct is None or not sources or not _is_morphnets_exception(direct):
        return None
    cheapest = sources[-1]
    claim = f"{direct['label']}'s widths for ResNet18 from the smallest images are worse than direct optimisation"
    numbers = f"direct {top1_text(direct)}; {_compared([cheapest], direct)}"
    return Finding(PLACES["resolution"], claim, is_above(direct, cheapest), numbers)


def stackings_alike(rows: pd.DataFrame) -> Finding | None:
    """Section 4.2, Figure 4: stack-average-block and stack-last-block perform similarly."""
    found = {(source["source"], source["extrapolation"]): source for source in source_rows(rows)}
    averages = [
        found[source, how] for source, how in found if how == "average_block" and (source, "last_block") in found
    ]
    if not averages:
        return None
    pairs = [(average, found[average["source"], "last_block"]) for average in averages]
    claim = f"{averages[0]['label']}: stack-average-block and stack-last-block are within {NEAR:g} points"
    numbers = [
        f"from {place_of(average)}: average {top1_text(average)}, last {top1_text(last)}" for average, last in pairs
    ]
    return Finding("Section 4.2, Figure 4", claim, joined([_near(*pair) for pair in pairs]), "; ".join(numbers))


def compound_reduction(rows: pd.DataFrame) -> Finding | None:
    """Section 4.5: with DMCP a compound projection costs 320 times less and stays close to direct optimisation.

    The paper's number is a product of ratios (`ratio_of_costs`), and is compared with one.
    """
    direct, sources = direct_row(rows), source_rows(rows)
    if kind_of(rows) != "compound" or direct is None or direct["algorithm"] != "dmcp" or not sources:
        return None
    verdicts = [_not_below(source, direct) for source in sources]
    kept = [source for source, verdict in zip(sources, verdicts, strict=True) if verdict == "holds"]
    claim = (
        f"{direct['label']}'s overhead falls by up to {REDUCTION} times, and widths stay at most {NEAR:g} points below "
        "direct optimisation"
    )
    far = [verdict for source, verdict in zip(sources, verdicts, strict=True) if source["cost_ratio"] >= REDUCTION]
    most = _reduction(kept[-1]) if kept else "no reduction"
    short = "" if far else ", with which the sources of this study end"
    numbers = (
        f"{most} with that accuracy, {_reduction(sources[-1])} from the cheapest source{short} (paper: {REDUCTION})"
    )
    verdict = _reduction_verdict(far, bool(kept))
    return Finding(PLACES["compound"], claim, verdict, numbers)


def search_costs(rows: pd.DataFrame) -> Finding | None:
    """Section 1: with differentiable parameters (DMCP) a search takes "2x the training time", with 40 and 100 epochs.

    Taken as between 1.5 and 2.5 times, in MACs, of the training of the same network, both brought to those epochs.
    """
    direct = direct_row(rows)
    if direct is None or direct["algorithm"] != "dmcp" or pd.isna(direct["train_macs"]) or kind_of(rows) == COMPARISON:
        return None
    times = float(direct["search_macs"] / direct["train_macs"])
    at_papers = times / direct["epochs_ratio"] * PAPER_EPOCHS
    claim = f"A search of {direct['label']} takes {COST:g} times as much as a training"
    numbers = f"{times:.2f} times as many MACs, at the paper's 40 and 100 epochs {at_papers:.2f}"
    return Finding("Section 1", claim, all_hold([abs(at_papers - COST) <= COST_MARGIN]), numbers)


def dmcp_is_best(rows: pd.DataFrame, labels: Mapping[str, str]) -> Finding | None:
    """Section 4.5: DMCP is "the best performing algorithm": its own widths are the best; `rows` of one axis."""
    direct = found_rows(rows[rows["is_direct"]], *labels)
    best, others = (direct[(direct["algorithm"] == "dmcp") == which] for which in (True, False))
    if best.empty or others.empty or kind_of(rows) == COMPARISON:
        return None
    rival = others.sort_values("top1_pct").iloc[-1]
    numbers = "direct: " + "; ".join(f"{row['label']} {top1_text(row)}" for _, row in direct.iterrows())
    claim = f"{best.iloc[0]['label']} is the best of the algorithms"
    return Finding("Section 4.5", claim, is_above(best.iloc[0], rival), numbers)


def overfits(rows: pd.DataFrame) -> Finding | None:
    """Appendix C, table 1: on a small data set optimised widths are worse "due to over-fitting".

    So they test worse than uniform ones and learn the training images no worse. Where training accuracies were not kept
    the second half is open.
    """
    targets = [(direct_row(target), uniform_row(target)) for _, target in rows.groupby("target", sort=False)]
    pairs = [(direct, uniform) for direct, uniform in targets if direct is not None and uniform is not None]
    if kind_of(rows) != COMPARISON or not pairs:
        return None
    claim = (
        f"{pairs[0][0]['label']} overfits a small data set: its widths test worse than uniform ones and train no worse"
    )
    numbers = "; ".join(_of_comparison(*pair) for pair in pairs)
    verdict = joined([_overfits(*pair) for pair in pairs])
    return Finding("Appendix C, Table 1", claim, verdict, f"{numbers} (paper: -0.4 to 0.0 on CIFAR-100)")


CHECKS: tuple[Check, ...] = (
    direct_beats_uniform,
    sources_keep_accuracy,
    sources_beat_uniform,
    morphnet_needs_resolution,
    stackings_alike,
    compound_reduction,
    search_costs,
    overfits,
)


def _sources_within(rows: pd.DataFrame, limits: Mapping[str, float]) -> list[pd.Series]:
    """Return the sources that save no more than the paper speaks of; none if it does not speak of this kind of axis."""
    kind = kind_of(rows)
    if kind not in limits:
        return []
    on_mobilenet = kind == "width" and rows["model"].iloc[0] == "mobilenet_v2"
    limit = (MOBILENET_SAVED if on_mobilenet else limits[kind]) + ROUNDING
    return [source for source in source_rows(rows) if not source["overhead_saved_pct"] > limit]


def _reduction(source: pd.Series) -> str:
    """Return by how much a source is cheaper in the ledger, and by its multipliers: ``271.0 (320.0) times``."""
    return f"{source['overhead_factor']:.1f} (by its multipliers {source['cost_ratio']:.1f}) times"


def _of_comparison(direct: pd.Series, uniform: pd.Series) -> str:
    """Return what two rows of a comparison came to, with their training accuracies if they were kept."""
    trained = " and ".join(with_spread(row["train_pct"], row["train_std_pct"]) for row in (direct, uniform))
    known = pd.notna([direct["train_pct"], uniform["train_pct"]]).all()
    return (
        f"{configuration_title(direct['target'])}: direct {top1_text(direct)}, uniform {top1_text(uniform)} "
        f"({difference(direct, uniform):+.2f}), {f'in training {trained}' if known else 'training accuracy not kept'}"
    )


def _overfits(direct: pd.Series, uniform: pd.Series) -> Verdict:
    """Return whether widths that test worse train no worse."""
    first, second, worse = train_mean(direct), train_mean(uniform), is_above(uniform, direct)
    if worse != "holds":
        return worse
    return "undecided" if first is None or second is None else above(first, second, by=-NEAR)


def _reduction_verdict(far: Sequence[Verdict], kept: bool) -> Verdict:
    """Return whether the reduction holds, from the verdicts on sources that reach it; without any it is undecided.

    `kept`: whether a costlier source keeps the accuracy.
    """
    if not far or ("holds" not in far and "undecided" in far):
        return "undecided"
    if "holds" in far:
        return "holds"
    return "holds in part" if kept else "does not hold"


def _is_morphnets_exception(row: pd.Series) -> bool:
    """Whether the paper excepts these widths from what it says of all others (section 4.3)."""
    return (row["kind"], row["algorithm"], row["model"]) == ("resolution", "morphnet", "resnet18")


def _not_below(first: pd.Series, second: pd.Series) -> Verdict:
    """Return whether the first mean is at most `NEAR` below the second."""
    return above(top1_mean(first), top1_mean(second), by=-NEAR)


def _near(first: pd.Series, second: pd.Series) -> Verdict:
    """Return whether two means are at most `NEAR` apart."""
    return alike(top1_mean(first), top1_mean(second), NEAR)


def _compared(sources: Sequence[pd.Series], reference: pd.Series) -> str:
    """Return each source with its difference to a reference: ``from 0.5x wide 75.00 (+0.10, 4.0 times cheaper)``."""
    return "; ".join(
        f"from {place_of(source)} {top1_text(source)} ({difference(source, reference):+.2f}"
        + ("" if pd.isna(source["overhead_factor"]) else f", {source['overhead_factor']:.1f} times cheaper")
        + ")"
        for source in sources
    )
