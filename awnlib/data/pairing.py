"""From the config of a data set without labels to ``ImagePairs``: read, crop, make small copies, measure the mean."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from awnlib.data.bicubic import reduced, to_pixels
from awnlib.data.config import DatasetConfig
from awnlib.data.image_pairs import ImagePair, ImagePairs
from awnlib.data.raw import DataError, naming_the_folder
from awnlib.data.sources.photographs import TEST_NAMES, TRAIN_NAMES, Photograph, read_photographs
from awnlib.data.subsets import mean_and_std

COLOURS = 3
SMALLEST = 32  # pixels of a side: a border is left out of both sides, and SSIM looks at 11 pixels at a time


def pair_dataset(name: str, config: DatasetConfig, folder: Path) -> ImagePairs:
    """Read a data set; arguments and errors as in `awnlib.data.prepare.prepare_dataset`.

    The sides of an image are cut to multiples of the scale, at its right and lower border.
    """
    assert config.scale is not None  # DatasetConfig asks for it
    with naming_the_folder(folder):
        train = _pairs(folder / str(config.path), TRAIN_NAMES, config.scale, config.train_size)
        tests = {
            test: _pairs(folder / path, TEST_NAMES, config.scale, config.test_size)
            for test, path in config.test_paths.items()
        }
    mean, std = mean_and_std(name, config, COLOURS, lambda: _all_pixels(train))
    places = ", ".join(f"{len(pairs)} of {config.test_paths[test]}" for test, pairs in tests.items())
    words = f"{len(train)} images of {config.path}; tests: {places}"
    return ImagePairs(name, config.scale, train, tests, mean, std, words)


def in_colour(pixels: Tensor) -> Tensor:
    """Return an image, `[C, H, W]`, with three colours, equal ones if it is grey."""
    return pixels.expand(COLOURS, -1, -1)


def _pairs(place: Path, names: tuple[str, ...], scale: int, size: int | None) -> list[ImagePair]:
    """Return the images of a split, or `size` of them at even distances."""
    pairs = [_pair(photograph, scale) for photograph in read_photographs(place, names, scale)]
    twice = [name for name, count in Counter(pair.name for pair in pairs).items() if count > 1]
    if twice:
        raise DataError(f"{place}: several images are called {', '.join(twice)}: give each its own name")
    if size is not None and size > len(pairs):
        raise DataError(f"{place}: there are {len(pairs)} images, fewer than the {size} asked for")
    return pairs if size is None else [pairs[index * len(pairs) // size] for index in range(size)]


def _pair(photograph: Photograph, scale: int) -> ImagePair:
    image, copy = photograph.image, photograph.copy
    width, height = image.width // scale * scale, image.height // scale * scale
    if min(width, height) < SMALLEST * scale:
        raise DataError(
            f"{photograph.where}: {image.width} x {image.height} pixels are too few for scale {scale} "
            f"(at least {SMALLEST * scale} x {SMALLEST * scale}): remove it"
        )
    image = image.crop((0, 0, width, height))
    copy = reduced(image, scale) if copy is None else copy.convert(image.mode)
    if copy.size != (width // scale, height // scale):
        raise DataError(
            f"{photograph.where}: its small copy has {copy.width} x {copy.height} pixels in place of "
            f"{width // scale} x {height // scale}: fetch both anew"
        )
    return ImagePair(photograph.name, to_pixels(image), to_pixels(copy))


def _all_pixels(pairs: list[ImagePair]) -> Tensor:
    """Return the pixels of all images by colour, uint8 `[1, 3, pixels]`."""
    return torch.cat([in_colour(pair.high).flatten(1) for pair in pairs], dim=1)[None]
