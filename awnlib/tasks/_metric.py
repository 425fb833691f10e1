"""`Metric`: a number by which networks are judged, as data that figures and tables read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Summary = Literal["auc"]


@dataclass(frozen=True)
class Metric:
    """One number that is measured at every width.

    Attributes
    ----------
    name
        As in the column `metric` of the tables, its unit included where there is one: `top1_pct`.
    unit
        As readers see it, such as "%"; empty for a plain number.
    higher_is_better
        Its direction.
    title
        What a table calls it: "accuracy".
    axis_label
        What stands at the axis of a figure.
    summary
        How its values at all widths become one number: "auc", the area under the curve divided by its range
        (`awnlib.evaluation.auc`). None: they do not.
    """

    name: str
    unit: str
    higher_is_better: bool
    title: str
    axis_label: str
    summary: Summary | None = None

    @property
    def words(self) -> str:
        """What tables call differences between two values: percentage points, dB, or nothing."""
        return "percentage points" if self.unit == "%" else self.unit

    @property
    def summary_label(self) -> str:
        """What tables call its one number for all widths: "AUC, %"."""
        return "AUC" + (f", {self.unit}" if self.unit else "")

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another."""
        return one > other if self.higher_is_better else one < other
