"""Parts of test images as PNG files, for figures to show."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from awnlib.data.bicubic import to_image
from awnlib.data.pairing import in_colour

COLUMNS = ("picture", "picture_before", "picture_target")


@dataclass(frozen=True)
class Pictures:
    """Which parts are shown: [left, top, side] by `<test set>/<image>`."""

    crops: Mapping[str, Sequence[int]]

    def of(self, test_set: str, image: str, *pixels: Tensor) -> dict[str, bytes | None]:
        """Return the part of what a network gave, of its input and of its target, `[1, C, H, W]`; None if not shown.

        Raises
        ------
        ValueError
            If the part does not lie within the image.
        """
        name = f"{test_set}/{image}"
        if name not in self.crops:
            return dict.fromkeys(COLUMNS)
        left, top, side = self.crops[name]
        height, width = pixels[0].shape[-2:]
        if left + side > width or top + side > height:
            raise ValueError(
                f"task_settings.crops.{name}: {side} pixels from {left}, {top} are not within {width} x {height}"
            )
        parts = [images[0, :, top : top + side, left : left + side] for images in pixels]
        return dict(zip(COLUMNS, map(png, parts), strict=True))


def png(pixels: Tensor) -> bytes:
    """Return the PNG file of an image, `[C, H, W]` of grey or three colours up to 255."""
    file = io.BytesIO()
    to_image(in_colour(pixels.to("cpu", torch.uint8))).save(file, "PNG")
    return file.getvalue()
