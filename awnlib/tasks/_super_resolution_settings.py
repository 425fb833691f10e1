"""The settings of super-resolution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from awnlib import settings


class Settings(settings.Settings):
    """What networks are trained on, and how their images are measured. The scale is the data set's."""

    loss: Literal["l1", "l2"] = Field(
        default="l1", description="mean absolute or squared error, in standard deviations of the training images"
    )
    patch: int = Field(
        default=48, ge=8, description="side of the small patches of training, in pixels; costs are those of one patch"
    )
    epoch_steps: int = Field(default=1000, ge=1, description="steps of an epoch; patches are drawn with replacement")
    measured_on: Literal["luminance", "rgb"] = Field(
        default="luminance",
        description="luminance without a border of `scale` pixels, as on Set5, Set14 and B100, or all colours without "
        "`scale` + 6, as on DIV2K",
    )
    tile: int | None = Field(
        default=None, ge=16, description="evaluate small images in tiles of so many pixels, to save memory; null: whole"
    )
    crops: dict[str, list[int]] = Field(
        default_factory=dict,
        description="parts of test images to be looked at: [left, top, side] in pixels of the large image, by "
        "`<test set>/<image>`",
    )

    @field_validator("crops")
    @classmethod
    def _squares(cls, value: dict[str, list[int]]) -> dict[str, list[int]]:
        for name, square in value.items():
            if len(square) != 3 or min(square) < 0 or square[-1] < 8:
                raise ValueError(f"crops are [left, top, side], with a side of 8 or more, found {square} for {name}")
            if "/" not in name:
                raise ValueError(f"crops are named <test set>/<image>, found {name}")
        return value
