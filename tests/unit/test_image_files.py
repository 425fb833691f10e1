"""Which files become images of which class: against torchvision's ImageFolder, and what systems leave in folders."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from awnlib.data import DataError, prepare_dataset
from awnlib.data.config import DatasetConfig
from awnlib.data.image_files import ENDINGS
from awnlib.data.sources import read_source
from awnlib.data.sources.image_folder import list_files
from awnlib.torchvision_shim import import_torchvision

PETS = DatasetConfig(source="image_folder", path="pets")


def write(file, seed=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(256, size=(9, 9, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, "PNG")


@pytest.fixture
def pets(tmp_path):
    """Two images of each of two classes in either split."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for index in range(2):
                write(tmp_path / "pets" / split / name / f"{index}.png", index)
    return tmp_path / "pets"


def refused(pets, *, stream=False):
    """Return the message that the data set is refused with before work."""
    config = PETS.model_copy(update={"stream": stream, "image_size": 8 if stream else None})
    with pytest.raises(DataError) as caught:
        prepare_dataset("pets", config, pets.parent)
    return str(caught.value)


def test_files_classes_and_order_are_those_of_torchvision(pets, capsys):
    for name in ("b/1.png", "b/a/2.PNG", "b/a-c/3.jpeg", "b/a/d/4.tif", "a b/1.JPG", "B/9.webp", "B/10.ppm"):
        write(pets / "train" / name)
        write(pets / "test" / name)
    train, test, classes = list_files(PETS, pets.parent)
    for split in (train, test):
        expected = import_torchvision().datasets.ImageFolder(pets / split.name)
        assert list(classes) == expected.classes
        assert list(zip(split.files, split.labels.tolist(), strict=True)) == expected.samples
    assert capsys.readouterr().err == ""


def test_endings_are_those_of_torchvision_and_pil():
    Image.init()
    assert {ending.lower() for ending in import_torchvision().datasets.folder.IMG_EXTENSIONS} < ENDINGS
    assert set(Image.registered_extensions()) | {".pnm"} > ENDINGS


def test_what_systems_leave_behind_is_no_class_and_no_image(pets, capsys):
    clean = read_source(PETS, pets.parent)
    for name in (".ipynb_checkpoints/0-checkpoint.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/._0.png"):
        write(pets / "train" / name, 7)
    for name in ("__MACOSX/cat/0.png", "dog/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg"):
        write(pets / "train" / name, 7)
    data = read_source(PETS, pets.parent)
    assert data.classes == ("cat", "dog")
    assert torch.equal(data.train.images, clean.train.images)
    assert capsys.readouterr().err == f"{pets}/train: left out 5 hidden (.ipynb_checkpoints)\n"


def test_files_that_are_left_out_are_counted_with_an_example(pets, capsys):
    for name in ("cat/a.gif", "dog/b.GIF", "dog/none", "dog/Thumbs.db", "loose.png"):
        write(pets / "test" / name)
    assert len(read_source(PETS, pets.parent).test.labels) == 4
    assert capsys.readouterr().err == (
        f"{pets}/test: left out 1 .db (dog/Thumbs.db), 2 .gif (cat/a.gif), "
        "1 outside the folders of the classes (loose.png), 1 without an ending (dog/none)\n"
    )


def test_jfif_is_read(pets):
    (pets / "train/cat/0.png").rename(pets / "train/cat/0.JFIF")
    assert read_source(PETS, pets.parent).train.labels.tolist() == [0, 0, 1, 1]


def test_classes_without_images_are_all_named(pets):
    (pets / "train/emu").mkdir()
    write(pets / "train/fox/a.gif")
    assert f"{pets}/train: every class needs a folder with images: found none in emu, fox (left out: 1 .gif" in refused(
        pets
    )


def test_a_split_without_classes_and_other_classes_are_refused(pets):
    (pets / "test/dog").rename(pets / "test/Dog")
    assert "only one of train and test has the classes: Dog, dog" in refused(pets)
    for name in ("cat", "Dog"):
        (pets / "test" / name).rename(pets / name)
    assert f"{pets}/test: every class needs a folder with images: found no folder (left out: nothing)" in refused(pets)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        ("cat/2.png", "gone.png", "cat/2.png is a link to gone.png, which is not there: mend or remove it"),
        ("emu", "/gone/emu", "train/emu is a link to /gone/emu, which is not there"),
        ("cat/loop", "loop", "cat/loop is a link to loop, which is not there"),
        ("cat/up", "..", "train/cat/up leads to {0}, whose images would be read twice"),
        ("dog/again", "../cat", "train/dog/again leads to {0}/cat, whose images would be read twice"),
        ("emu", "cat", "train/emu leads to {0}/cat, whose images would be read twice"),
    ],
)
def test_links_to_nothing_or_to_what_is_read_anyway_are_refused(pets, link, target, words, stream):
    (pets / "train" / link).symlink_to(target)
    assert words.format(pets / "train") in refused(pets, stream=stream)


def test_a_class_may_be_a_link(pets, tmp_path):
    (pets / "train/cat").rename(tmp_path / "elsewhere")
    (pets / "train/cat").symlink_to(tmp_path / "elsewhere")
    assert read_source(PETS, pets.parent).train.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_file_is_refused(pets, stream):
    (pets / "train/cat/x.jpg").mkdir()
    assert f"{pets}/train/cat/x.jpg is a folder, but named as an image" in refused(pets, stream=stream)
    (pets / "train/cat/x.jpg").rmdir()
    os.mkfifo(pets / "train/cat/x.jpg")
    assert f"{pets}/train/cat/x.jpg is neither a file nor a folder" in refused(pets, stream=stream)


@pytest.mark.parametrize("reads", ["scandir", "open"])
def test_what_may_not_be_read_is_named(pets, monkeypatch, reads):
    def denied(path, *_, **__):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(*((os, "scandir") if reads == "scandir" else ("pathlib.Path.read_bytes",)), denied)
    named = {"scandir": f"{pets}/train", "open": f"{pets}/train/cat/0.png"}[reads]
    assert f"{named} may not be read (permission denied)" in refused(pets)


def rename_to_latin(path):
    latin = os.fsencode(path.parent) + b"/m\xe9" + os.fsencode(path.suffix)
    os.rename(path, latin)
    return os.fsdecode(latin)


@pytest.mark.parametrize("stream", [False, True])
def test_names_that_are_not_utf8(pets, stream):
    config = PETS.model_copy(update={"stream": stream, "image_size": 8})
    file = rename_to_latin(pets / "train/cat/1.png")
    data = prepare_dataset("pets", config, pets.parent)
    data.save(pets / "saved")
    if stream:
        assert str(data.file("train", 1)) == file
        data.check_files()
    with open(file, "wb"):
        assert f"{pets}/train/cat/m\\xe9.png: not an image that can be used" in refused(pets, stream=stream)
    rename_to_latin(pets / "train/dog")
    assert f"{pets}/train/m\\xe9: the name of a class must be UTF-8: rename the folder" in refused(pets)
