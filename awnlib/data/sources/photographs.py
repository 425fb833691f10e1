"""Images of any size and without labels, in folders or parquet files: what super-resolution learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from awnlib.data.decode import decode_image, read_file
from awnlib.data.image_files import ImageFiles
from awnlib.data.raw import TEST_NAMES, DataError
from awnlib.data.sources.parquet import encoded_images, image_names, shards
from awnlib.files import shown

TRAIN_NAMES = ("train",)
HIGH, LOW = "_HR", "_LR_bicubic"  # what folders are called in DIV2K


@dataclass(frozen=True)
class Photograph:
    """An image, in grey or RGB, with its name and place, and the small copy that lies beside it in DIV2K's layout."""

    name: str
    where: str
    image: Image.Image
    copy: Image.Image | None = None


def read_photographs(place: Path, names: tuple[str, ...], scale: int) -> Iterator[Photograph]:
    """Yield the images of one split, in the order of the files.

    Parameters
    ----------
    place
        A folder with parquet files (columns `image` and, if there is one, `name`), of which those of the split are
        read, or with image files, of which all are, in folders inside it too.
    names
        What a split may be called: ``TRAIN_NAMES``, or those of a test split.
    scale
        For a folder `<name>_HR` beside which there is a `<name>_LR_bicubic/X<scale>`: its `<image>x<scale>` are the
        small copies.

    Raises
    ------
    DataError
        If there is no image, or one cannot be used.
    """
    if not place.is_dir():
        raise DataError(f"{shown(place)}: there is no such folder: put the images there")
    found = False
    for photograph in _from_parquet(place, names) if any(place.rglob("*.parquet")) else _from_files(place, scale):
        found = True
        yield photograph
    if not found:
        raise DataError(f"{shown(place)}: there are no images: put them there")


def _from_parquet(place: Path, names: tuple[str, ...]) -> Iterator[Photograph]:
    files = shards(place, names)
    for name, (where, content) in zip(image_names(files), encoded_images(files), strict=True):
        yield Photograph(name, where, decode_image(where, content, keep_grey=True))


def _from_files(place: Path, scale: int) -> Iterator[Photograph]:
    copies = place.with_name(place.name.removesuffix(HIGH) + LOW) / f"X{scale}"
    has_copies = place.name.endswith(HIGH) and copies.is_dir()
    for file in map(Path, ImageFiles(place).below(str(place))):
        name = file.relative_to(place).with_suffix("").as_posix()
        copy = _decoded(copies / f"{name}x{scale}{file.suffix}") if has_copies else None
        yield Photograph(name, shown(file), _decoded(file), copy)


def _decoded(file: Path) -> Image.Image:
    return decode_image(shown(file), read_file(file), keep_grey=True)


__all__ = ["TEST_NAMES", "TRAIN_NAMES", "Photograph", "read_photographs"]
