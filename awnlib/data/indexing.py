"""From a streamed data set's config to ``ImageIndex``: list the files, choose a subset, measure mean and std."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.image_index import ImageIndex, pack_names
from awnlib.data.raw import DataError, check_classes, naming_the_folder
from awnlib.data.sources.image_folder import list_files
from awnlib.data.streaming import centre_crop, read_image
from awnlib.data.subsets import choose_balanced, describe_subsets, mean_and_std
from awnlib.files import sha256
from awnlib.seeding import rng

MEASURED_IMAGES = 1024  # for mean and std
READERS, FILES_AT_ONCE = 8, 10_000  # threads that wait for a disk or a network; and what they are given together


def index_dataset(name: str, config: DatasetConfig, folder: Path) -> ImageIndex:
    """List the files of a data set; arguments and errors as in `awnlib.data.prepare.prepare_dataset`.

    Mean and std are measured on some images, drawn with a fixed seed, as evaluation sees them. The others are read, but
    not decoded, for the digest of the content.
    """
    root, size = (folder / str(config.path)).absolute(), config.image_size
    assert size is not None  # DatasetConfig asks for it
    with naming_the_folder(folder):
        train, test, classes = list_files(config, folder)
    check_classes(name, classes)
    train_indices = choose_balanced(name, "train", train.labels, config.train_size, classes)
    test_indices = choose_balanced(name, "test", test.labels, config.test_size, classes)
    train_files = [Path(train.files[index]).absolute() for index in train_indices.tolist()]
    test_files = [Path(test.files[index]).absolute() for index in test_indices.tolist()]
    mean, std = mean_and_std(name, config, 3, lambda: _some_images(train_files, size))
    used, stored = (len(train_files), len(test_files)), (len(train.files), len(test.files))
    words = [f"image files in {config.path}, streamed at {size} x {size}", *describe_subsets(used, stored)]
    return ImageIndex(
        name=name,
        root=str(root),
        image_size=size,
        train_files=pack_names([file.relative_to(root).as_posix() for file in train_files]),
        train_labels=train.labels[train_indices],
        test_files=pack_names([file.relative_to(root).as_posix() for file in test_files]),
        test_labels=test.labels[test_indices],
        train_content=content_digest(train_files),
        test_content=content_digest(test_files),
        classes=classes,
        mean=mean,
        std=std,
        source="; ".join(words),
    )


def content_digest(files: Sequence[Path]) -> str:
    """Return a digest of the content of files, in their order; several are read at a time.

    Raises
    ------
    DataError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(files), FILES_AT_ONCE):
            for content in readers.map(_file_digest, files[start : start + FILES_AT_ONCE]):
                digest.update(content)
    return digest.hexdigest()


def _file_digest(file: Path) -> bytes:
    try:
        return bytes.fromhex(sha256(file))
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error}): put it back or take it away") from None


def _some_images(files: list[Path], size: int) -> Tensor:
    drawn = torch.randperm(len(files), generator=rng(0, "mean_and_std"))[:MEASURED_IMAGES].tolist()
    return torch.stack([centre_crop(read_image(files[index]), size) for index in drawn])
