"""How a study evaluates what it trained: BN statistics, slimming, the widths of a sweep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from awnlib.channels import ROUNDING, check_apart, evenly_spaced
from awnlib.settings import ConfigError, Settings, parse
from awnlib.training.methods import Method, Recalibration


class RecalibrationConfig(Settings):
    """How BN statistics are computed after training (US-Nets, section 3.2)."""

    averaging: Literal["exact", "moving"] = Field(
        default="exact", description="mean over all batches, or the moving average of training"
    )
    num_images: int = Field(default=1024, ge=2, description="training images used, drawn by the run's seed")
    batch_size: int = Field(default=128, ge=2, description="images per batch")

    def taken_for_granted(self, name: str, method: Method) -> Method:
        """Return a method whose recalibrations say only what these settings do not; raises a ConfigError if two agree.

        So a recalibration has one name, whether or not it repeats the study's settings.
        """
        if not any(isinstance(entry, Recalibration) for entry in method.recalibration):
            return method
        known = (None, self.averaging, self.num_images)
        entries: list[Any] = []
        for one in method.recalibrations:
            differs = {key: value for key, value in one if key != "widths" and value not in known}
            entries.append({"widths": one.widths, **differs} if differs else one.widths)
        return parse(Method, method.model_dump() | {"recalibration": entries}, prefix=f"methods.{name}")


class SlimmingConfig(Settings):
    """How trained networks are slimmed (AutoSlim, section 3; US-Nets, section 6)."""

    bins: int = Field(
        default=12, ge=2, description="parts that the full width is cut into: a step narrows a group of layers by one"
    )
    num_images: int = Field(default=2000, ge=2, description="held-out training images used at most")
    batch_size: int = Field(
        default=2000, ge=2, description="images that share BN statistics, at most: few large batches, equal in size"
    )


class WidthGrid(Settings):
    """Evenly spaced widths."""

    start: float = Field(gt=0, le=1, description="the smallest width")
    stop: float = Field(gt=0, le=1, description="the largest width")
    step: float = Field(gt=0, le=1, description="between two widths; it divides the range")

    def widths(self) -> list[float]:
        """Return the widths, rising; a ValueError if the step does not divide the range."""
        steps = round((self.stop - self.start) / self.step)
        if steps < 1 or abs(self.start + steps * self.step - self.stop) > ROUNDING:
            raise ValueError(
                f"step must divide the range from start to stop, found {self.start}, {self.stop} and step {self.step}"
            )
        return evenly_spaced(self.start, self.stop, steps + 1)


def _grid(value: Any) -> Any:
    """Return a grid as the list of its widths, and its problems as one text, since those of a list have other keys."""
    try:
        return parse(WidthGrid, value).widths() if isinstance(value, dict) else value
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from None


class SweepConfig(Settings):
    """How the dense width sweep is run."""

    width_mults: Annotated[list[float] | None, BeforeValidator(_grid)] = Field(
        default=None,
        description="widths to evaluate: a list, or start, stop and step; of each network those that it has (an "
        "individually trained one has its own). null: one for each distinct network",
    )
    batch_size: int = Field(default=250, ge=1, description="test images per batch")
    most_widths: int | None = Field(
        default=None,
        ge=2,
        description="evaluate about so many evenly chosen widths of networks that need a pass for each; null: all",
    )
    between_switches: Literal["next_larger", "interpolated"] = Field(
        default="next_larger",
        description="BN statistics of widths without their own, in S-Nets and US-Nets: of the next larger width "
        "(Any-Width Networks, section 5.1), or interpolated between the two neighbours",
    )

    @field_validator("width_mults")
    @classmethod
    def _rising(cls, value: list[float] | None) -> list[float] | None:
        if value is None:
            return None
        if not value or min(value) <= 0 or max(value) > 1:
            raise ValueError(f"width_mults must be one or more widths above 0 and up to 1, found {value}")
        check_apart(value)
        return sorted(value)

    @model_validator(mode="after")
    def _one_choice(self) -> SweepConfig:
        if self.width_mults is not None and self.most_widths is not None:
            raise ValueError("most_widths chooses among all widths, and width_mults names them: give one of the two")
        return self

    def widths_from(self, smallest: float) -> list[float] | None:
        """Return the widths to evaluate of networks with a smallest width; None: one for each distinct network."""
        if self.width_mults is None:
            return None
        return [width_mult for width_mult in self.width_mults if width_mult >= smallest - ROUNDING]
