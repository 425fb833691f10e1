"""What networks are judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A number by which networks are judged."""

    name: str
    title: str
    unit: str
    axis_label: str
    summary_label: str


TOP1 = Metric("top1_pct", "accuracy", "%", "test accuracy (%)", "area under the curve (AUC, %)")
