"""Classification of images: cross-entropy, and the share of images classified correctly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from awnlib.layers import SlimmableNetwork
from awnlib.one_pass import Updates, backward_at_full_width, channel_counts, outputs_of_prefixes
from awnlib.settings import check_choice
from awnlib.tasks._alpha_divergence import alpha_divergence
from awnlib.tasks._distillation import Distance, Distillation
from awnlib.tasks._metric import Metric
from awnlib.tasks._supervised import Supervised, backward_each_width
from awnlib.tasks._task import Shape

if TYPE_CHECKING:
    from awnlib.training.run import RunConfig

METRICS = (
    Metric(
        name="top1_pct",
        unit="%",
        higher_is_better=True,
        title="accuracy",
        axis_label="test accuracy (%)",
        summary="auc",
    ),
    Metric(
        name="loss_nats",
        unit="nats",
        higher_is_better=False,
        title="cross-entropy",
        axis_label="cross-entropy (nats)",
    ),
)
DISTANCES = ("alpha_divergence",)


class Classification(Supervised):
    """Which of the data set's classes an image shows; the losses of all widths are computed at once."""

    metrics = METRICS
    loss_metric = "loss_nats"
    monitored = ("top1_pct",)
    label_smoothing = 0.0

    def network_shape(self) -> tuple[Shape, int]:
        """Return the shape of the images, and the number of classes."""
        return self.labelled.image_shape, self.labelled.num_classes

    def begin(self, run: RunConfig, model: SlimmableNetwork, **options: Any) -> None:
        """Get ready for the first step, as `Task.begin` says."""
        self.label_smoothing = run.train.label_smoothing
        super().begin(run, model, **options)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy in nats of logits `[N, classes]` with labels `[N]`, smoothed as the run asks."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def distil(self, outputs: Tensor, teacher: Tensor, distance: Distance | None = None) -> Tensor:
        """Return `distilled_loss`."""
        return distilled_loss(outputs, teacher, distance)

    def losses_of_widths(self, outputs: Tensor, targets: Tensor, *, distillation: Distillation | None) -> Tensor:
        """Return the losses of several widths from their logits, `[n, N, classes]`, all at once."""
        rule = distillation or False
        return stacked_losses(outputs, targets, distillation=rule, label_smoothing=self.label_smoothing)

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return what `measure_widths` does for one width."""
        return {name: values[0] for name, values in self.measure_widths(outputs[None], targets).items()}

    def measure_widths(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return 100 for an image that is classified correctly, else 0, and its cross-entropy in nats."""
        every_label = targets.expand(len(outputs), -1)
        return {
            "top1_pct": 100.0 * (outputs.argmax(dim=2) == targets),
            "loss_nats": F.cross_entropy(outputs.transpose(1, 2), every_label, reduction="none"),
        }

    def monitor(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return 100 times the number of images that are classified correctly."""
        return {"top1_pct": 100 * count_correct(outputs, targets)}


build = Classification


def inplace_distillation(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the mean cross-entropy between the widest network's output and a narrower one's.

    Parameters
    ----------
    logits, teacher_logits
        `[N, classes]`; no gradient reaches the teacher.

    References
    ----------
    US-Nets, section 4.2.
    """
    return F.cross_entropy(logits, teacher_logits.detach().softmax(dim=1))


def distilled_loss(logits: Tensor, teacher_logits: Tensor, distance: Distance | None) -> Tensor:
    """Return `inplace_distillation`, or another distance from the teacher."""
    return (
        inplace_distillation(logits, teacher_logits) if distance is None else alpha_divergence(logits, teacher_logits)
    )


def stacked_losses(
    logits: Tensor, labels: Tensor, *, distillation: bool | Distillation = False, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean loss of each of several widths, `[n]`, from their logits, `[n, N, classes]`.

    With distillation all but the first width learn from the first one's output.
    """
    rule = Distillation.of(distillation)
    targets = F.one_hot(labels, logits.shape[2]).to(logits.dtype)
    if label_smoothing:
        targets = targets * (1 - label_smoothing) + label_smoothing / logits.shape[2]
    targets = targets.expand_as(logits)
    if rule and rule.distance is None:
        teacher = logits[:1].detach().softmax(dim=2).expand_as(logits[1:])
        targets = torch.cat([targets[:1], rule.mixed(teacher, targets[1:])])
    losses = -(targets * logits.log_softmax(dim=2)).sum(dim=2).mean(dim=1)
    if rule and rule.distance is not None:
        distilled = alpha_divergence(logits[1:], logits[:1])
        losses = torch.cat([losses[:1], rule.mixed(distilled, losses[1:])])
    return losses


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many images each width classifies correctly, `[n]`, from logits `[n, N, classes]`."""
    return (logits.argmax(dim=2) == labels).sum(dim=1)


def backward_widths(
    model: SlimmableNetwork,
    images: Tensor,
    labels: Tensor,
    widths: Sequence[float | Mapping[str, float]],
    *,
    distillation: bool | Distillation = False,
    label_smoothing: float = 0.0,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Add the gradients of the unweighted sum of the losses of several widths, one pass for each.

    Parameters
    ----------
    model
        In training mode; its width is that of the last pass afterwards.
    images, labels
        One batch, `[N, C, H, W]` and `[N]`.
    widths
        The widths of the step: width multipliers or width vectors. With distillation the first one is the teacher.
    distillation
        All but the first width learn from the first one's output instead of the labels (US-Nets, Algorithm 1); what
        else a `Distillation` says.
    label_smoothing
        Share of every label that is spread evenly over all classes; a teacher's output is used as it is.
    forward
        What to call instead of `model` (its compiled form, say).

    Returns
    -------
    losses, corrects
        `[len(widths)]` each: the loss, and how many images were classified correctly. No gradient.
    """
    rule = Distillation.of(distillation)

    def loss(logits: Tensor, teacher: Tensor | None) -> Tensor:
        of_labels = partial(F.cross_entropy, logits, labels, label_smoothing=label_smoothing)
        if rule is None or teacher is None:
            return of_labels()
        distilled = distilled_loss(logits, teacher, rule.distance)
        return distilled if rule.label_share is None else rule.mixed(distilled, of_labels())

    losses, corrects = backward_each_width(
        model,
        images,
        widths,
        loss,
        lambda logits: count_correct(logits[None], labels),
        distillation=rule is not None,
        forward=forward,
    )
    return losses, torch.cat(corrects)


def backward_one_pass(
    model: SlimmableNetwork,
    images: Tensor,
    labels: Tensor,
    width_mults: Sequence[float],
    *,
    distillation: bool | Distillation = False,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    updates: Updates = "each",
    forward: Callable[..., tuple[Tensor, Tensor]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what `backward_widths` does, in one pass at full width.

    Parameters
    ----------
    model
        An any-width network in training mode; it is set to full width.
    images, labels, width_mults, distillation, label_smoothing
        As in `backward_widths`.
    weights
        Factor of each width's loss, `[len(width_mults)]`, on the device; by default 1.
    counts
        What `awnlib.one_pass.channel_counts` gives for these widths, on the device, for a caller that has it already.
    updates
        How often the BN statistics of a channel are updated: once for "each" width that keeps it, as Algorithm 1 does,
        or "once".
    forward
        What to call instead of `width_losses` (its compiled form, say).

    Returns
    -------
    losses, corrects
        `[len(width_mults)]` each; the losses without their weights.

    Raises
    ------
    ValueError
        If the model's features depend on its width, or `updates` is no such choice.
    """
    check_choice("updates", updates, Updates)
    if counts is None:
        counts = channel_counts(model, width_mults).to(images.device, non_blocking=True)
    options: dict[str, Any] = {"distillation": distillation, "label_smoothing": label_smoothing, "updates": updates}
    losses_of = forward or width_losses
    return backward_at_full_width(model, lambda: losses_of(model, images, labels, counts, **options), weights=weights)


def width_losses(
    model: SlimmableNetwork,
    images: Tensor,
    labels: Tensor,
    counts: Tensor,
    *,
    distillation: bool | Distillation,
    updates: Updates,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return the loss and the number of correct classifications of each width, from one pass at full width.

    Parameters
    ----------
    model
        An any-width network in training mode, at full width.
    images, labels
        One batch, `[N, C, H, W]` and `[N]`.
    counts
        The widths, as `awnlib.one_pass.channel_counts` gives them, on the device.
    distillation
        All but the first width learn from the first one's output.
    updates, label_smoothing
        As in `backward_one_pass`.
    """
    logits = outputs_of_prefixes(model, images, counts, updates)
    losses = stacked_losses(logits, labels, distillation=distillation, label_smoothing=label_smoothing)
    return losses, count_correct(logits.detach(), labels)
