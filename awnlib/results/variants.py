"""Variants of an evaluation: as trained, or with BN statistics computed anew at a number of widths, slimmed or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from awnlib.training.methods import Method

AS_TRAINED = "as_trained"
Averaging = Literal["exact", "moving"]
Points = int | Literal["swept"]
_NAME = re.compile(r"(recal|slimmed)(\d+|-swept)(?:-(exact|moving))?(?:-(\d+))?")


@dataclass(frozen=True)
class Variant:
    """Which BN statistics an evaluation uses.

    Attributes
    ----------
    recalibrated_widths
        At how many evenly spaced widths they were computed after training, or "swept", at those of the sweep; None:
        those of the training.
    averaging, num_images
        How, and from how many images; None: as the study says.
    slimmed
        Whether the widths are those of the slimmed network (`awnlib.evaluation.width_path`).
    """

    recalibrated_widths: Points | None = None
    averaging: Averaging | None = None
    num_images: int | None = None
    slimmed: bool = False

    @property
    def name(self) -> str:
        """As in paths and tables: `as_trained`, `recal10`, `recal-swept`, or `recal10-moving-512`, not as the study.

        Of the slimmed network `slimmed10` and so on.
        """
        if self.recalibrated_widths is None:
            return AS_TRAINED
        points = "-swept" if self.recalibrated_widths == "swept" else self.recalibrated_widths
        kind = "slimmed" if self.slimmed else "recal"
        return f"{kind}{points}" + (f"-{self.own}" if self.own else "")

    @property
    def own(self) -> str:
        """What its name says after the widths, in which it differs from the study: `moving-512`, or nothing."""
        return "-".join(str(value) for value in (self.averaging, self.num_images) if value is not None)

    @property
    def words(self) -> str:
        """What the label of a method says of it: `10w`, `10w, moving, 512 images`; nothing as trained or swept."""
        points = self.recalibrated_widths
        widths = None if points is None or points == "swept" else f"{points}w"
        images = f"{self.num_images} images" if self.num_images is not None else None
        slimmed = "slimmed" if self.slimmed else None
        return ", ".join(part for part in (widths, slimmed, self.averaging, images) if part)


def parse_variant(name: str) -> Variant:
    """Return the variant of a name; raise a ValueError if no variant has it."""
    if name == AS_TRAINED:
        return Variant()
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"no variant is called '{name}' "
            f"(allowed: {AS_TRAINED}, recal10, recal-swept, recal10-moving-512, slimmed10, ...)"
        )
    kind, widths, _, num_images = match.groups()
    averaging: Averaging | None = match[3]  # type: ignore[assignment]
    points: Points = "swept" if widths == "-swept" else int(widths)
    return Variant(points, averaging, None if num_images is None else int(num_images), kind == "slimmed")


def variants(method: Method) -> list[Variant]:
    """Return how a method's networks are evaluated."""
    found = [Variant(one.widths, one.averaging, one.num_images) for one in method.recalibrations]
    return [*found, *(replace(one, slimmed=True) for one in found if method.slimming)] or [Variant()]


def recalibration_points(variant: str) -> float | None:
    """Return the number of recalibrated widths of a variant's name; infinite if swept, None if evaluated as trained."""
    points = parse_variant(variant).recalibrated_widths
    return math.inf if points == "swept" else points


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of variants as tables show them: as trained, by widths, averaging and number of images; slimmed."""
    return sorted(names, key=_rank)


def _rank(name: str) -> tuple[bool, float, str, int]:
    variant = parse_variant(name)
    return variant.slimmed, recalibration_points(name) or 0, variant.averaging or "", variant.num_images or 0
