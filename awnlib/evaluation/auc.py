"""The area under the width-accuracy curve, the one number by which any-width networks are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from awnlib.tasks import Metric


def summarise(metric: Metric, width_mult: Sequence[float], scores: Sequence[float]) -> float | None:
    """Return the one number of a metric's scores at several widths.

    None if the metric has none, at a single width, or if a score is not finite.
    """
    if metric.summary is None or len(scores) < 2 or not np.isfinite(scores).all():
        return None
    return auc_pct(width_mult, scores)


def auc_pct(width_mult: Sequence[float], top1_pct: Sequence[float]) -> float:
    """Return the mean accuracy over the width range: trapezoid area divided by the range.

    Parameters
    ----------
    width_mult
        Widths in any order, shape (n,).
    top1_pct
        Accuracy at these widths in percent, shape (n,).

    Returns
    -------
    float
        In percent: a curve that is constant at 70 % has an AUC of 70 %.

    Raises
    ------
    ValueError
        If the lengths differ, a value is not finite, a width is repeated, or there are fewer than two widths.

    Notes
    -----
    Any-Width Networks, section 5. The paper names the area without a formula; with the range divided out, its
    numbers are accuracies.
    """
    widths, accuracies = np.asarray(width_mult, dtype=float), np.asarray(top1_pct, dtype=float)
    if widths.ndim != 1 or widths.shape != accuracies.shape:
        raise ValueError(f"AUC needs one accuracy per width, found shapes {widths.shape} and {accuracies.shape}")
    if not (np.isfinite(widths).all() and np.isfinite(accuracies).all()):
        raise ValueError("AUC needs finite widths and accuracies")
    if len(widths) < 2 or len(np.unique(widths)) != len(widths):
        raise ValueError(f"AUC needs at least 2 widths, all different, found {sorted(widths.tolist())}")
    order = np.argsort(widths)
    widths, accuracies = widths[order], accuracies[order]
    areas = np.diff(widths) * (accuracies[1:] + accuracies[:-1]) / 2
    return float(areas.sum() / (widths[-1] - widths[0]))
