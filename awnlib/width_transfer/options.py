"""What the width optimisers can be told. Imports no torch, so that a configuration is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from awnlib.settings import Settings, parse
from awnlib.training.run import (
    LearningRate,
    Nesterov,
    NumEpochs,
    Schedule,
    SGDConfig,
    WeightDecay,
    WeightDecayOn,
)


class OptimizerSettings(Settings):
    """What every width optimiser can be told."""

    folds: int = Field(
        default=1,
        ge=1,
        description="searches, each without one fold of the training images; their multipliers are averaged. "
        "1: one search with all images",
    )


Enlargement = Annotated[
    float, Field(ge=1, description="channels of the network in training relative to the un-optimised one")
]
MinWidth = Annotated[
    float, Field(gt=0, le=1, description="smallest count of a dimension relative to the un-optimised one")
]
LastRate = Annotated[
    float, Field(ge=0, le=1, description="linear, cosine: learning rate at the end, relative to the start")
]


class SupernetSettings(SGDConfig, OptimizerSettings):
    """How the network of a search is trained. Defaults: Width Transfer, appendix A, for smaller batches."""

    enlargement: Enlargement = 1.5
    min_width_mult: MinWidth = 0.1
    num_epochs: NumEpochs = 40
    images_at_once: int | None = Field(
        default=None,
        ge=2,
        description="images that pass the network together and share BN statistics, a divisor of batch_size, where a "
        "batch does not fit into memory; null: all of a batch",
    )
    lr: LearningRate = 0.1
    lr_end: LastRate = 0.0
    schedule: Schedule = "linear"
    nesterov: Nesterov = True
    weight_decay: WeightDecay = 1e-4
    weight_decay_on: WeightDecayOn = "weights"
    augment: Literal["none", "crop_flip", "resized_crop", "randaugment", "rand-m9-mstd0.5"] = Field(
        default="none", description="as of a data set"
    )

    @model_validator(mode="after")
    def _equal_parts(self) -> Self:
        if self.batch_size % (self.images_at_once or 1):
            raise ValueError(f"images_at_once must divide batch_size ({self.batch_size}), found {self.images_at_once}")
        return self

    def images_left(self, num_images: int) -> int:
        """Return how many of the training images are trained with: all but one fold, if there are several."""
        return num_images - (-(-num_images // self.folds) if self.folds > 1 else 0)


class UniformSettings(OptimizerSettings):
    """One multiplier for all dimensions: nothing to set, no network is trained."""


class MorphNetSettings(SupernetSettings):
    """MorphNet. The learning rate is constant, because the strength of the regulariser is relative to it."""

    enlargement: float = Field(default=1.0, ge=1, description="1: shrink the un-optimised network, then widen it")
    min_width_mult: MinWidth = 0.05
    schedule: Schedule = "constant"
    strength: float = Field(default=1.0, ge=0, description="lambda: weight of the regulariser over the network's MACs")
    threshold: float = Field(default=0.01, gt=0, description="a channel is alive if a BN scale of it is above this")


class AutoSlimSettings(SupernetSettings):
    """AutoSlim. Defaults: Width Transfer, appendix A; 12 bins and the rest as in the authors' published settings.

    The learning rate is the authors' 0.5 for batches of 1024, scaled down with the batch. They hold out 50,000 images,
    4 % of ImageNet; the default is for small data sets.
    """

    min_width_mult: MinWidth = 0.15
    lr: LearningRate = 0.0625
    num_random: int = Field(default=2, ge=0, description="random networks in each step, beside largest and smallest")
    bins: int = Field(default=12, ge=2, description="parts that each dimension of the enlarged network is cut into")
    held_out: float = Field(
        default=0.2, gt=0, lt=1, description="fraction of the training images that slimming is judged by"
    )
    num_images: int = Field(default=2000, ge=2, description="held-out images used at most")
    evaluation_batch_size: int = Field(
        default=2000, ge=2, description="images that share BN statistics, at most: few large batches, equal in size"
    )
    slim_to_smallest: bool = Field(
        default=False, description="go on below the budget, so that the table has networks for every smaller one"
    )

    def images_left(self, num_images: int) -> int:
        """Return how many of the training images are trained with: without a fold, without those held out."""
        left = super().images_left(num_images)
        return left - round(self.held_out * left)


class DMCPSettings(SupernetSettings):
    """DMCP. Defaults: Width Transfer, appendix A, and the authors' code; its learning rates are for batches of 2048.

    That of the weights is scaled down with the batch; that of the architecture is not, as its gradient is dominated by
    the budget and what counts is the distance that it can go in all steps. `uniform_end` is theirs for batches of 256.
    Groups are `offset` times the un-optimised channels, rounded down, and channels of no group are always kept, as in
    the authors' code: of a dimension of 16 these are 10, more than `min_width_mult` says.

    With `task_weight` 0 a search sees no image: what it finds is the null control of what is read into DMCP's widths.
    """

    lr: LearningRate = 0.03125
    lr_end: LastRate = 0.16
    schedule: Schedule = "cosine"
    offset: float = Field(default=0.1, gt=0, description="size of a group relative to the un-optimised channels")
    num_random: int = Field(default=2, ge=0, description="random networks in each step, beside largest and smallest")
    weights_only: float = Field(default=0.5, ge=0, lt=1, description="fraction of the search before the architecture")
    uniform_end: float = Field(
        default=0.14, gt=0, le=1, description="share of random networks at the end that are not drawn from the chains"
    )
    task_weight: float = Field(
        default=1.0,
        ge=0,
        description="weight of the task loss in the architecture's steps; 0: the null control, which trains no weights "
        "and follows the budget alone",
    )
    budget_weight: float = Field(default=0.1, ge=0, description="weight of the budget loss")
    architecture_lr: float = Field(default=0.5, gt=0, description="learning rate of the architecture at the start")
    architecture_lr_end: float = Field(
        default=0.2, ge=0, le=1, description="that at the end, relative to the start; along half a cosine"
    )
    sampling: Literal["expected", "sampled"] = Field(
        default="expected", description="final counts: the expected ones, or drawn until they cost the budget"
    )
    most_tries: int = Field(default=1000, ge=1, description="sampled counts: draws before the search fails")

    @property
    def is_blind(self) -> bool:
        """Whether the search depends on no image."""
        return self.task_weight == 0


SETTINGS: dict[str, type[OptimizerSettings]] = {
    "uniform": UniformSettings,
    "morphnet": MorphNetSettings,
    "autoslim": AutoSlimSettings,
    "dmcp": DMCPSettings,
}
"""The settings of each optimiser by its name."""


def parse_settings(optimizer: str, options: Mapping[str, Any] | None = None) -> OptimizerSettings:
    """Return the settings of an optimiser: its defaults, with some changed.

    Raises
    ------
    ValueError
        If the optimiser, a key or a value is unknown; the message lists what is allowed.
    """
    if optimizer not in SETTINGS:
        raise ValueError(f"unknown width optimiser '{optimizer}' (allowed: {', '.join(SETTINGS)})")
    return parse(SETTINGS[optimizer], dict(options or {}), prefix=optimizer)


def optimizer_name(settings: OptimizerSettings) -> str:
    """Return the name of the optimiser that has these settings."""
    return next(name for name, kind in SETTINGS.items() if type(settings) is kind)
