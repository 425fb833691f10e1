"""`Distillation`: how the narrower widths of a step learn from the first one's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Distance = Literal["alpha_divergence", "l1", "l2", "policy"]
"""Other distances between two outputs than a task's own loss; a task's file names those that it has."""


@dataclass(frozen=True)
class Distillation:
    """How all but the first width of a step learn from the first one's output (US-Nets, section 4.2).

    Attributes
    ----------
    distance
        Between the two outputs; None: the task's own loss, of classification the cross-entropy.
    label_share
        Share of the label's loss in theirs: a number, or a scalar on the device if it changes. None: no labels.
    """

    distance: Distance | None = None
    label_share: float | Tensor | None = None

    @classmethod
    def of(cls, distillation: bool | Distillation) -> Distillation | None:
        """Return how widths learn from the first one; True: as Algorithm 1 of US-Nets says. None: they do not."""
        return distillation if isinstance(distillation, Distillation) else cls() if distillation else None

    def mixed(self, from_teacher: Tensor, from_labels: Tensor) -> Tensor:
        """Return the losses, or the targets, of widths that learn from both."""
        return (
            from_teacher if self.label_share is None else from_teacher + self.label_share * (from_labels - from_teacher)
        )
