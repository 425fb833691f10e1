"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 in their original files, read and fetched by torchvision."""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from awnlib.data.config import DatasetConfig
from awnlib.data.raw import DIGITS, DataError, RawData, Split, check_labels, check_readable
from awnlib.torchvision_shim import import_torchvision

_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
_IDX_FILES = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def read_idx(config: DatasetConfig, folder: Path, usual: Sequence[str]) -> RawData:
    """Read MNIST or Fashion-MNIST: four IDX files, plain or gzip, in one of the usual places.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the download fails.
    """
    dataset = _dataset(config)
    roots = [folder / config.path] if config.path else [folder / place for place in usual]
    place = _idx_folder(config, folder, dataset, roots)
    train, test = _read_idx_split(place, "train"), _read_idx_split(place, "t10k")
    classes = DIGITS if config.source == "mnist" else tuple(dataset.classes)
    return RawData(train, test, classes, f"{dataset.__name__}, IDX files in {_shown(place, folder)}")


def read_cifar(config: DatasetConfig, folder: Path, usual: Sequence[str]) -> RawData:
    """Read the Python version of CIFAR-10 or CIFAR-100 (fine labels); its MD5 sums are checked before unpickling.

    Raises
    ------
    DataError
        If a file is missing or damaged, or the download fails.
    """
    dataset = _dataset(config)
    roots = [folder / config.path] if config.path else [(folder / place).parent for place in usual]
    root = next((root for root in roots if (root / dataset.base_folder).is_dir()), None)
    if config.download:
        root = root or _download_root(config, folder)
        _download(dataset, root)
    if root is None:
        places = " or ".join(str(root) for root in roots)
        raise DataError(f"found no folder {dataset.base_folder} in {places}: put it there or set `download: true`")
    _check_md5(dataset, root)
    train, test = dataset(root, train=True), dataset(root, train=False)
    source = f"{dataset.__name__}, Python version in {_shown(root / dataset.base_folder, folder)}"
    return RawData(_cifar_split(train), _cifar_split(test), tuple(train.classes), source)


def _dataset(config: DatasetConfig) -> Any:
    """Return torchvision's class."""
    return getattr(import_torchvision().datasets, _CLASSES[config.source])


def _download_root(config: DatasetConfig, folder: Path) -> Path:
    return folder / (config.path or "")


def _download(dataset: Any, root: Path) -> None:
    try:
        dataset(root, download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{dataset.__name__} could not be downloaded to {root}: {error}") from None


def _shown(place: Path, folder: Path) -> str:
    """Return a path as it is inside the data folder, to show in reports."""
    return str(place.relative_to(folder) if place.is_relative_to(folder) else place)


def _idx_folder(config: DatasetConfig, folder: Path, dataset: Any, roots: list[Path]) -> Path:
    """Return a folder with all four IDX files, after a download if that is wanted."""
    downloaded = Path(dataset.__name__, "raw")
    places = [root / inside for root in roots for inside in ("", "raw", downloaded)]
    missing = {place: [name for name in _IDX_FILES if not _idx_file(place, name)] for place in places}
    for place in places:
        if not missing[place]:
            return place
    if config.download:
        _download(dataset, _download_root(config, folder))
        return _download_root(config, folder) / downloaded
    for place in places:
        if len(missing[place]) < len(_IDX_FILES):
            names = " and ".join(missing[place])
            raise DataError(f"{place} lacks {names}: put it there (plain or .gz) or set `download: true`")
    searched, names = " or ".join(str(root) for root in roots), ", ".join(_IDX_FILES)
    raise DataError(f"found no data set in {searched}: put {names} there (plain or .gz) or set `download: true`")


def _idx_file(place: Path, name: str) -> Path | None:
    return next((file for file in (place / name, place / f"{name}.gz") if file.is_file()), None)


def _read_idx_split(place: Path, split: str) -> Split:
    readers = import_torchvision().datasets.mnist
    images_file, images = _read_idx_file(place, f"{split}-images-idx3-ubyte", readers.read_image_file)
    labels_file, labels = _read_idx_file(place, f"{split}-labels-idx1-ubyte", readers.read_label_file)
    if len(images) != len(labels):
        counts = f"{len(labels)} labels for the {len(images)} images of {images_file.name}"
        raise DataError(f"{labels_file} has {counts}: delete both and fetch them anew")
    check_labels(labels, 10, labels_file)
    return Split(images.unsqueeze(1), labels)


def _read_idx_file(place: Path, name: str, reader: Callable[[Path], Tensor]) -> tuple[Path, Tensor]:
    file = _idx_file(place, name) or place / name
    check_readable(file)
    try:
        if file.suffix != ".gz":
            return file, reader(file)
        with TemporaryDirectory() as temporary:
            unpacked = Path(temporary, name)
            with gzip.open(file) as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target)
            return file, reader(unpacked)
    except (OSError, EOFError, zlib.error, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"{file} is damaged ({error}): delete it and fetch it anew") from None


def _check_md5(dataset: Any, root: Path) -> None:
    check_integrity = import_torchvision().datasets.utils.check_integrity
    meta = (dataset.meta["filename"], dataset.meta["md5"])
    for name, md5 in (*dataset.train_list, *dataset.test_list, meta):
        file = root / dataset.base_folder / name
        if not check_integrity(file, md5):
            state = "has a wrong MD5 sum" if file.is_file() else "is missing"
            raise DataError(f"{file} {state}: delete {file.parent} and fetch it anew or set `download: true`")


def _cifar_split(dataset: Any) -> Split:
    return Split(torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(dataset.targets))
