"""Variants of an evaluation: as trained, or with BN statistics of a number of widths."""

from __future__ import annotations

from collections.abc import Iterable

AS_TRAINED = "as_trained"


def recalibration_points(variant: str) -> int | None:
    """Return the number of recalibrated widths of a variant; None if it is evaluated as trained."""
    return None if variant == AS_TRAINED else int(variant.removeprefix("recal"))


def in_order(variants: Iterable[str]) -> list[str]:
    """Return variants as tables show them: as trained, then by the number of recalibrated widths."""
    return sorted(variants, key=lambda variant: recalibration_points(variant) or 0)
