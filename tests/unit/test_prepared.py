"""When a data set is prepared again, and when its content counts as changed."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from awnlib.data import DataError, prepare_dataset
from awnlib.data.config import FILES, DatasetConfig
from awnlib.data.indexing import content_digest
from awnlib.data.prepared import asked_files, prepare, read_contents
from awnlib.data.source_files import data_folder, fingerprint
from awnlib.data.sources import source_names, usual_places

PETS = DatasetConfig(source="image_folder", path="pets", image_size=8)
STREAMED = PETS.model_copy(update={"stream": True})


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """A data folder with a set of eight images."""
    for seed in range(8):
        write_image(
            tmp_path / "data/pets" / ("train", "test")[seed // 4] / ("cat", "dog")[seed % 2] / f"{seed}.png", seed
        )
    return tmp_path / "data"


def later(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def add(folder):
    write_image(folder / "pets/train/cat/9.png", 9)


def change(folder):
    write_image(folder / "pets/train/cat/0.png", 10)
    later(folder / "pets/train/cat/0.png")


def delete(folder):
    (folder / "pets/train/cat/0.png").unlink()


def rename(folder):
    (folder / "pets/train/cat/0.png").rename(folder / "pets/train/cat/00.png")


def touch(folder):
    later(folder / "pets/train/cat/0.png")


@pytest.mark.parametrize("edit", [add, change, delete, rename, touch])
def test_a_changed_file_changes_the_fingerprint(folder, edit):
    before = fingerprint(PETS, folder)
    edit(folder)
    assert fingerprint(PETS, folder) != before is not None


@pytest.mark.parametrize("edit", [add, delete, rename])
def test_a_name_more_or_less_changes_the_fingerprint_of_a_streamed_set(folder, edit):
    before = fingerprint(STREAMED, folder)
    os.utime(folder / "pets/train/cat", ns=(0, 0))
    assert fingerprint(STREAMED, folder) != before
    before = fingerprint(STREAMED, folder)
    edit(folder)
    assert fingerprint(STREAMED, folder) != before


def test_a_folder_that_was_moved_is_the_same_unless_images_stay_in_it(folder, tmp_path):
    before, streamed = fingerprint(PETS, folder), fingerprint(STREAMED, folder)
    moved = folder.rename(tmp_path / "moved")
    assert fingerprint(PETS, moved) == before
    assert fingerprint(STREAMED, moved) != streamed


def test_a_broken_link_is_a_file(folder):
    before = fingerprint(PETS, folder)
    (folder / "pets/train/cat/link.png").symlink_to("nowhere.png")
    assert fingerprint(PETS, folder) != before


@pytest.mark.parametrize("source", source_names())
def test_usual_places_are_watched(source, tmp_path):
    pairs = {"scale": 2, "test_paths": {"some": "x"}} if source == "photographs" else {}
    config = DatasetConfig(source=source, path="x" if source in FILES else None, **pairs)
    for place in ["x"] if config.path else usual_places(source):
        before = fingerprint(config, tmp_path)
        if not place.startswith("/"):
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / "file").touch()
            assert fingerprint(config, tmp_path) != before, place
    assert bool(usual_places(source)) == (source not in ("mnist5k", *FILES))


def prepared(config, folder, tmp_path, asked=None):
    prepare("pets", config, folder, tmp_path / "pets.safetensors", tmp_path / "pets.json", asked)
    return read_contents(tmp_path / "pets.json")


@pytest.mark.parametrize("config", [PETS, STREAMED], ids=["in memory", "streamed"])
@pytest.mark.parametrize(
    ("place", "changed"), [("train/cat/0.png", {"training"}), ("test/cat/4.png", {"test"}), (None, set())]
)
def test_digests_follow_the_content_alone(folder, tmp_path, config, place, changed):
    """Mean and std are given: measured ones would change with training images, for both splits."""
    config = config.model_copy(update={"mean": [0.5] * 3, "std": [0.2] * 3})
    before = prepared(config, folder, tmp_path)
    assert before["shape"] == [3, 8, 8, 2]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for file in copy.rglob("*.png"):
        later(file)
    if place is not None:
        write_image(copy / "pets" / place, 20)
    after = prepared(config, copy, tmp_path)
    assert {part for part in ("training", "test", "shape") if after[part] != before[part]} == changed
    assert after["files"] != before["files"]


def test_words_and_names_are_no_content(folder):
    data = prepare_dataset("pets", PETS, folder)
    other = dataclasses.replace(data, name="animals", source="elsewhere", classes=("chat", "chien"))
    assert other.training_digest() == data.training_digest() != data.test_digest() == other.test_digest()


def test_what_is_asked_for_changes_with_the_files_and_stays_without_them(folder, tmp_path):
    contents = tmp_path / "pets.json"
    first = asked_files(contents, PETS, folder)
    prepared(PETS, folder, tmp_path, asked=first)
    assert asked_files(contents, PETS, folder) == first
    touch(folder)
    second = asked_files(contents, PETS, folder)
    assert second != first
    prepared(PETS, folder, tmp_path, asked=second)
    assert asked_files(contents, PETS, folder) == second
    shutil.rmtree(folder)
    assert asked_files(contents, PETS, folder) == second


def test_what_a_job_fetched_is_not_news(folder, tmp_path, monkeypatch):
    contents, away = tmp_path / "pets.json", folder.rename(tmp_path / "away")
    first = asked_files(contents, PETS, folder)
    assert first is None

    def fetch(*arguments):
        away.rename(folder)
        return prepare_dataset(*arguments)

    monkeypatch.setattr("awnlib.data.prepare_dataset", fetch)
    prepared(PETS, folder, tmp_path, asked=first)
    assert asked_files(contents, PETS, folder) == first
    touch(folder)
    assert asked_files(contents, PETS, folder) != first


def test_a_damaged_or_missing_file_says_nothing(tmp_path):
    (tmp_path / "half.json").write_text('{"training": ')
    assert read_contents(tmp_path / "half.json") == read_contents(tmp_path / "none.json") == {}


def test_order_and_every_file_count_in_the_content(folder):
    files = sorted(folder.rglob("*.png"))
    assert content_digest(files) == content_digest(files) != content_digest(files[::-1]) != content_digest(files[1:])
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        content_digest([*files, folder / "gone.png"])


def test_where_the_data_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("AWN_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path != data_folder("mine")
