"""Encoded images (PNG, JPEG and whatever else PIL reads) to one uint8 tensor."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from awnlib.data.raw import DataError, Split
from awnlib.files import why_unreadable


def decode_images(encoded: Iterable[tuple[str, bytes]], count: int, image_size: int | None, split: str) -> Tensor:
    """Decode images of one size; grey-scale ones among them become RGB.

    Parameters
    ----------
    encoded
        Pairs of where an image comes from (for messages) and its bytes.
    count
        How many there are, 1 or more.
    image_size
        Resize to this many pixels (``fit_image``); None: as stored.
    split
        The name beside the progress bar, which is shown on a terminal only.

    Returns
    -------
    Tensor
        uint8 [count, 3, H, W].

    Raises
    ------
    DataError
        If an image cannot be decoded, or is of another size than the first one and ``image_size`` is None.
    """
    images = None
    for row, (where, content) in enumerate(tqdm(encoded, split, count, unit="image", leave=False, disable=None)):
        image = decode_image(where, content)
        pixels = np.asarray(image if image_size is None else fit_image(image, image_size)).transpose(2, 0, 1)
        if images is None:
            images = np.empty((count, *pixels.shape), np.uint8)
        if pixels.shape != images.shape[1:]:
            sizes = " and ".join(f"{shape[-1]} x {shape[-2]}" for shape in (images.shape, pixels.shape))
            raise DataError(f"{where}: images of unequal sizes ({sizes} pixels): set image_size to resize them")
        images[row] = pixels
    return torch.from_numpy(images)


def fit_image(image: Image.Image, size: int) -> Image.Image:
    """Resize to ``size`` x ``size``: bilinear with antialiasing; of an oblong image, the square in its middle."""
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def drop_unused_colour(train: Split, test: Split) -> tuple[Split, Split]:
    """Keep one of the three channels if no image of either split has any colour."""
    if any(not torch.equal(split.images[:, :1].expand_as(split.images), split.images) for split in (train, test)):
        return train, test
    return Split(train.images[:, :1].clone(), train.labels), Split(test.images[:, :1].clone(), test.labels)


def read_file(file: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file; raise a ``DataError`` that names it if it cannot be read."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"{why_unreadable(file, error)}: put it back, or prepare the data set again") from None


def decode_image(where: str, content: bytes, *, keep_grey: bool = False) -> Image.Image:
    """Return one image as RGB, or in grey if it is stored so and shall stay so.

    Raises
    ------
    DataError
        If it cannot be used; the message says where it comes from.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        if image.mode[0] in "IF":
            raise ValueError(f"mode {image.mode}, more than 8 bits a channel")
        return image.convert("L" if keep_grey and image.mode in ("1", "L") else "RGB")
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not an image that can be used ({error}): replace or remove it") from None
