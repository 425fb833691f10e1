"""Learning-rate schedules: the rate in every step, from how much of the training is done."""

from __future__ import annotations

import math

from awnlib.training.run import SGDConfig


def learning_rate(settings: SGDConfig, progress: float, lr_end: float = 0.0) -> float:
    """Return the learning rate after a fraction `progress` in [0, 1) of all steps.

    During the warm-up it rises linearly from 0. Then "linear" and "cosine" (Loshchilov and Hutter, SGDR, equation 5,
    without restarts) fall until the end of the training, to `lr_end` relative to the start; milestones are fractions of
    all of it, warm-up included.
    """
    warmup = settings.warmup_epochs / settings.num_epochs
    if progress < warmup:
        return settings.lr * progress / warmup
    since_warmup = (progress - warmup) / (1 - warmup)
    if settings.schedule == "linear":
        return settings.lr * (lr_end + (1 - lr_end) * (1 - since_warmup))
    if settings.schedule == "cosine":
        return settings.lr * (lr_end + (1 - lr_end) * (1 + math.cos(math.pi * since_warmup)) / 2)
    if settings.schedule == "constant":
        return settings.lr
    return settings.lr * settings.gamma ** sum(progress >= milestone for milestone in settings.milestones)
