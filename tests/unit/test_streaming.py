"""Data sets that stay in their files, against torchvision's transforms one image at a time, and against themselves."""

import dataclasses
import importlib
import multiprocessing
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from awnlib.data import (
    DataError,
    ImageData,
    ImageIndex,
    all_test_batches,
    chosen_training_batches,
    load_dataset,
    prepare_dataset,
    training_images,
)
from awnlib.data.config import DatasetConfig
from awnlib.seeding import rng
from awnlib.studies.shell import do_job
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import jobs
from awnlib.torchvision_shim import import_torchvision
from awnlib.training.engine import train

import_torchvision()
v2 = importlib.import_module("torchvision.transforms.v2")
CPU = torch.device("cpu")
CLASSES = ("ant", "bee", "große Katze")
SETTINGS = {"source": "image_folder", "path": "pets", "stream": True, "image_size": 16}


def write_images(folder, count, seed):
    """Write JPEGs of different sizes and shapes, a colour for each class; one of them is grey."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            generator = rng(seed, label, index)
            height, width = torch.randint(18, 40, (2,), generator=generator).tolist()
            pixels = torch.randint(80, (height, width, 3), generator=generator, dtype=torch.uint8)
            pixels[:, :, label] += 150
            image = Image.fromarray(pixels.numpy())
            (image.convert("L") if (label, index) == (1, 1) else image).save(folder / name / f"{index}.JPEG")


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """A data folder with 8 training and 3 test images of each class."""
    folder = tmp_path_factory.mktemp("data")
    write_images(folder / "pets" / "train", 8, 0)
    write_images(folder / "pets" / "val", 3, 1)
    return folder


@pytest.fixture
def pets(stored):
    return prepare_dataset("pets", DatasetConfig(**SETTINGS), stored)


def as_evaluated(path, data):
    """Return one image by torchvision: the shorter side to 256/224 of 16 pixels, the middle, normalised."""
    steps = [v2.Resize(18), v2.CenterCrop(16), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose([*steps, v2.Normalize(data.mean, data.std)])(Image.open(path).convert("RGB"))


def files(folder):
    return [file for name in CLASSES for file in sorted((folder / name).iterdir())]


def assert_equal_batches(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


# --- preparing -------------------------------------------------------------------------------------------------------


def test_index_has_the_files_their_labels_and_statistics(pets, stored):
    assert (pets.classes, pets.num_classes, pets.image_shape) == (CLASSES, 3, (3, 16, 16))
    assert pets.train_labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert [pets.file("train", index) for index in range(24)] == files(stored / "pets" / "train")
    assert [pets.file("test", index) for index in range(9)] == files(stored / "pets" / "val")
    neutral = dataclasses.replace(pets, mean=(0.0,) * 3, std=(1.0,) * 3)
    images = torch.stack([as_evaluated(file, neutral) for file in files(stored / "pets" / "train")]).double()
    assert pets.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert pets.std == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    assert pets.source == "image files in pets, streamed at 16 x 16"


def test_saving_and_loading_keep_everything(pets, tmp_path):
    path = tmp_path / "new" / "pets.safetensors"
    pets.save(path)
    loaded = load_dataset(path)
    assert isinstance(loaded, ImageIndex)
    for name, value in vars(pets).items():
        other = getattr(loaded, name)
        assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value
    assert loaded.training_digest() == pets.training_digest()
    assert path.stat().st_size < 4000


def test_data_sets_in_memory_are_loaded_as_before(shapes, tmp_path):
    shapes.save(tmp_path / "shapes")
    assert isinstance(load_dataset(tmp_path / "shapes"), ImageData)
    with pytest.raises(DataError, match="none does not exist: prepare the data set first"):
        load_dataset(tmp_path / "none")
    (tmp_path / "shapes").write_bytes(b"something else")
    with pytest.raises(DataError, match="shapes is damaged"):
        load_dataset(tmp_path / "shapes")


def test_subsets_and_given_statistics(stored):
    config = DatasetConfig(**SETTINGS, train_size=7, test_size=3, mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3])
    data = prepare_dataset("pets", config, stored)
    assert torch.bincount(data.train_labels).tolist() == [3, 2, 2]
    assert [data.file("train", index).name for index in range(7)] == [f"{i}.JPEG" for i in (0, 2, 5, 0, 4, 0, 4)]
    assert (data.mean, data.std) == ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    assert data.source.endswith(
        "; 7 of 24 training images, balanced over the classes; 3 of 9 test images, balanced over the classes"
    )


def test_given_statistics_of_a_set_in_memory():
    config = {"source": "mnist5k", "train_size": 50, "test_size": 20}
    data = prepare_dataset("digits", DatasetConfig(**config, mean=[0.25], std=[0.5]), Path())
    assert (data.mean, data.std) == ((0.25,), (0.5,))
    with pytest.raises(DataError, match="digits: mean and std are given for 3 channels, images have 1"):
        prepare_dataset("digits", DatasetConfig(**config, mean=[0.5] * 3, std=[0.5] * 3), Path())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "parquet"}, "stream needs source 'image_folder' and an image_size"),
        ({"image_size": None}, "stream needs source 'image_folder' and an image_size"),
        (
            {"augment": "crop_flip"},
            r"'crop_flip' with stream True \(allowed: none, resized_crop, randaugment, rand-m9-mstd0\.5\)",
        ),
        ({"stream": False, "augment": "resized_crop"}, r"with stream False \(allowed: none, crop_flip\)"),
        ({"mean": [0.5]}, "mean and std must be given together"),
        ({"mean": [0.5], "std": [0.5, 0.5]}, "mean and std must be given together"),
        ({"mean": [0.5], "std": [0.0]}, r"std must be above 0, found \[0.0\]"),
    ],
)
def test_what_cannot_be_streamed_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        DatasetConfig(**{**SETTINGS, **changes})


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_is_that_of_torchvision(pets, stored, num_workers):
    batches = list(all_test_batches(pets, 4, CPU, num_workers))
    assert [len(labels) for _, labels in batches] == [4, 4, 1]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    expected = torch.stack([as_evaluated(file, pets) for file in files(stored / "pets" / "val")])
    torch.testing.assert_close(images, expected, rtol=1e-5, atol=1e-5)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last)
    ((chosen, their_labels),) = chosen_training_batches(pets, torch.tensor([23, 0]), 4, CPU, num_workers)
    expected = [as_evaluated(stored / "pets" / "train" / CLASSES[i] / f"{n}.JPEG", pets) for i, n in ((2, 7), (0, 0))]
    torch.testing.assert_close(chosen, torch.stack(expected), rtol=1e-5, atol=1e-5)
    assert their_labels.tolist() == [2, 0]


@pytest.mark.parametrize("augment", ["resized_crop", "randaugment"])
def test_augmentation_is_that_of_torchvision_seeded_for_each_image(pets, augment):
    """Epoch 1 of batches of 10: steps 2 and 3."""
    more = [v2.RandAugment(2, 9, num_magnitude_bins=11)] if augment == "randaugment" else []
    steps = [v2.RandomResizedCrop(16), v2.RandomHorizontalFlip(), *more, v2.ToImage()]
    to_floats = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(pets.mean, pets.std)]
    order = torch.randperm(24, generator=rng(5, "epoch_order", 1))
    batches = training_images(pets, augment, CPU).batches(10, seed=5, steps=range(2, 4))
    for (images, labels), indices in zip(batches, order[:20].split(10), strict=True):
        for image, label, index in zip(images, labels, indices.tolist(), strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(rng(5, "augment", 1, index).initial_seed())
                expected = v2.Compose([*steps, *to_floats])(Image.open(pets.file("train", index)).convert("RGB"))
            torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)
            assert label == index // 8


def test_rand_m9_is_timms(pets):
    """Its string, its defaults and what timm gives it for training; each image from a seed of its own."""
    auto_augment = pytest.importorskip("timm.data.auto_augment")
    hints = {"translate_const": 7, "img_mean": tuple(round(255 * value) for value in pets.mean)}
    operations = auto_augment.rand_augment_transform("rand-m9-mstd0.5", hints)
    assert (operations.num_layers, len(operations.ops), {one.prob for one in operations.ops}) == (2, 15, {0.5})
    images, _ = next(training_images(pets, "rand-m9-mstd0.5", CPU).batches(4, seed=5, steps=range(1)))
    to_floats = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(pets.mean, pets.std)]
    transform = v2.Compose([v2.RandomResizedCrop(16), v2.RandomHorizontalFlip(), operations, *to_floats])
    for image, index in zip(images, torch.randperm(24, generator=rng(5, "epoch_order", 0))[:4].tolist(), strict=True):
        number = rng(5, "augment", 0, index).initial_seed()
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        with torch.random.fork_rng():
            torch.manual_seed(number)
            expected = transform(Image.open(pets.file("train", index)).convert("RGB"))
        torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-5)


def test_without_timm_its_augmentation_is_refused_before_any_image(pets, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data.auto_augment", None)
    with pytest.raises(ImportError, match=r"'rand-m9-mstd0.5' needs timm \(.*\): pip install 'awnlib\[timm\]'"):
        training_images(pets, "rand-m9-mstd0.5", CPU)


def test_all_global_generators_are_left_alone(pets):
    pytest.importorskip("timm")
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    list(training_images(pets, "rand-m9-mstd0.5", CPU).batches(10, seed=1, steps=range(1)))
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states  # noqa: NPY002


@pytest.mark.parametrize("augment", ["none", "randaugment", "rand-m9-mstd0.5"])
def test_workers_shares_and_where_one_starts_change_nothing(pets, augment):
    common = {"batch_size": 10, "seed": 1}
    images = training_images(pets, augment, CPU)
    whole = list(images.batches(steps=range(5), **common))
    assert_equal_batches(training_images(pets, augment, CPU, 2).batches(steps=range(5), **common), whole)
    assert_equal_batches(images.batches(steps=range(3, 5), **common), whole[3:])
    halves = [list(images.batches(steps=range(5), share=slice(i, i + 5), **common)) for i in (0, 5)]
    assert_equal_batches([tuple(map(torch.cat, zip(*pair, strict=True))) for pair in zip(*halves, strict=True)], whole)


def test_every_epoch_crops_anew_and_the_global_generator_is_left_alone(pets):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    batches = list(training_images(pets, "resized_crop", CPU).batches(24, seed=1, steps=range(2)))
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (images[labels == 0].sum((1, 2, 3)).sort().values for images, labels in batches)
    assert not torch.allclose(first, second, rtol=1e-3)


def test_unknown_split_is_refused(pets):
    for read in (pets.file, pets.label):
        with pytest.raises(ValueError, match=r"unknown split 'val' \(allowed: train, test\)"):
            read("val", 0)


def test_the_data_folder_of_missing_files_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"no folder train.*\(data folder: {tmp_path}; set data_folder or AWN_DATA"):
        prepare_dataset("pets", DatasetConfig(**SETTINGS), tmp_path)


def test_unknown_augment_is_refused(pets):
    with pytest.raises(ValueError, match=r"'crop_flip' of a streamed data set \(allowed: none, resized_crop"):
        training_images(pets, "crop_flip", CPU)


# --- signals ---------------------------------------------------------------------------------------------------------


def test_workers_outlive_the_sigterm_that_a_scheduler_sends_to_all_processes(pets):
    whole = list(training_images(pets, "none", CPU).batches(4, seed=1, steps=range(16)))
    batches = training_images(pets, "none", CPU, 2).batches(4, seed=1, steps=range(16))
    first = next(batches)
    pids = [str(worker.pid) for worker in multiprocessing.active_children()]
    assert len(pids) == 2
    subprocess.run(["sh", "-c", f"kill -TERM {' '.join(pids)}"], check=True)
    assert_equal_batches([first, *batches], whole)


HELD = """
import sys
import torch
from awnlib.data import load_dataset, training_images

batches = training_images(load_dataset(sys.argv[1]), "none", torch.device("cpu"), 2).batches(4, seed=1, steps=range(16))
next(batches)
"""


def test_workers_end_with_a_parent_that_still_holds_its_batches(pets, tmp_path):
    pets.save(tmp_path / "index")
    subprocess.run([sys.executable, "-c", HELD, tmp_path / "index"], check=True, timeout=60)


# --- files that are not there ----------------------------------------------------------------------------------------


@pytest.fixture
def changeable(stored, tmp_path):
    shutil.copytree(stored, tmp_path, dirs_exist_ok=True)
    prepare_dataset("pets", DatasetConfig(**SETTINGS), tmp_path).save(tmp_path / "index")
    return tmp_path


@pytest.mark.parametrize("lost", ["train/bee/3.JPEG", "val/große Katze/2.JPEG", "train/ant"])
def test_missing_file_is_named_before_work(changeable, lost):
    path = changeable / "pets" / lost
    path.unlink() if path.is_file() else shutil.rmtree(path)
    named = path if path.suffix else path / "0.JPEG"
    with pytest.raises(DataError, match=f"{named} is missing: put it back, or prepare the data set again"):
        load_dataset(changeable / "index")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_file_that_is_lost_or_damaged_later_is_named(changeable, num_workers):
    data = load_dataset(changeable / "index")
    damaged, lost = (changeable / "pets" / "train" / "bee" / f"{index}.JPEG" for index in (3, 4))
    damaged.write_bytes(damaged.read_bytes()[:200])
    lost.unlink()
    for index, words in (
        (11, f"{damaged}: not an image that can be used"),
        (12, f"{lost} does not exist: put it back"),
    ):
        with pytest.raises(DataError, match=words):
            list(chosen_training_batches(data, torch.tensor([index]), 1, CPU, num_workers))


def test_preparing_names_what_is_wrong(changeable):
    (changeable / "pets" / "train" / "ant" / "5.JPEG").write_text("no image")
    with pytest.raises(DataError, match=r"ant/5\.JPEG: not an image that can be used"):
        prepare_dataset("pets", DatasetConfig(**SETTINGS), changeable)
    shutil.rmtree(changeable / "pets" / "val" / "bee")
    with pytest.raises(DataError, match="only one of train and val has the classes: bee"):
        prepare_dataset("pets", DatasetConfig(**SETTINGS), changeable)


# --- the jobs of a study ---------------------------------------------------------------------------------------------


@pytest.fixture
def study(study_data):
    study_data["device"] = "cpu"
    study_data["datasets"] = {"pets": {**SETTINGS, "augment": "resized_crop"}}
    study_data["train"] = {"num_epochs": 3, "batch_size": 10, "lr": 0.05}
    study_data["recalibration"] = {"num_images": 20, "batch_size": 10}
    study_data["methods"] = {"us_net": {"recalibration": [2]}}
    study_data["exhibits"]["any_width_networks.table2"] = {
        "panels": [{"model": "lenet_3c1l", "dataset": "pets"}],
        "methods": ["us_net"],
    }
    return parse_study(study_data)


def test_every_job_streams(study, pets, tmp_path):
    pets.save(tmp_path / "data" / "pets.safetensors")
    records = [do_job(job, tmp_path) for there in jobs(study).values() for job in there.values()]
    assert [(record.stage, record.state, record.error) for record in records] == [
        (stage, "ok", None) for stage in ("train_model", "recalibrate_bn", "sweep_widths")
    ]
    assert records[0].measured["num_steps"] == 6


def test_continued_run_sees_the_same_images(study, pets, tmp_path, monkeypatch):
    from awnlib.jobs import resumable
    from awnlib.jobs.progress import Progress

    (run,) = runs(study)
    expected = train(run, pets)
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "update", lambda self, step, **_: 1 // (step != 4))
        with pytest.raises(ZeroDivisionError):
            train(run, pets, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    result = train(run, pets, checkpoint=tmp_path / "c")
    assert result.resumed == 1
    assert result.history == expected.history
    for name, value in result.model.state_dict().items():
        assert torch.equal(value, expected.model.state_dict()[name])
