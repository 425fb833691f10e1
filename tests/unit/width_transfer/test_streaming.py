"""A width-transfer study of images that stay in their files: every job, and a search that reads in other processes."""

import pytest
import torch
from PIL import Image

from awnlib.data import ImageIndex, prepare_dataset
from awnlib.data.config import DatasetConfig
from awnlib.data.splits import subset
from awnlib.jobs.records import read_record
from awnlib.models import ModelSpec
from awnlib.seeding import rng
from awnlib.studies.transfer.collect import collect, retraining_record, search_record
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.width_transfer.options import parse_settings
from awnlib.width_transfer.search import search
from tests.unit.width_transfer.test_tables import run_all

PETS = {"source": "image_folder", "path": "pets", "image_size": 16, "stream": True, "augment": "resized_crop"}
STUDY = {
    "study": "streamed",
    "seeds": [0],
    "device": "cpu",
    "datasets": {"pets": PETS},
    "transfer": {
        "search": {"num_epochs": 1, "batch_size": 4},
        "optimizers": {"autoslim": {"settings": {"bins": 3}}, "dmcp": {"settings": {"folds": 2}}},
        "train": {"num_epochs": 1, "batch_size": 4, "lr": 0.05},
        "macs_tolerance": 0.1,
        "axes": {
            "data": {
                "kind": "data",
                "model": "lenet_3c1l",
                "dataset": "pets",
                "target": {"width_mult": 0.5},
                "sources": [{"data_share": 0.5}],
            }
        },
    },
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A data folder with 20 training and 2 test images of each of two classes."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 20), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            (folder / "pets" / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(80, (20, 20, 3), generator=rng(label, index), dtype=torch.uint8)
                pixels[:, :, label] += 150
                Image.fromarray(pixels.numpy()).save(folder / "pets" / split / name / f"{index}.jpeg")
    return folder


@pytest.fixture
def pets(stored):
    return prepare_dataset("pets", DatasetConfig(**PETS), stored)


def test_every_job_streams(pets, tmp_path):
    study = parse_transfer_study(STUDY)
    pets.save(tmp_path / "data.safetensors")
    run_all(study, tmp_path / "data.safetensors", tmp_path)
    for name, one in study.searches().items():
        record = read_record(search_record(tmp_path, one))
        assert (record.state, record.error) == ("ok", None), name
        assert record.measured["num_images"] == (20 if "s0.5" in name else 40)
    for cell in study.retrainings().values():
        record = read_record(retraining_record(tmp_path, cell))
        assert (record.state, record.error) == ("ok", None), cell.name
        assert record.measured["num_images"] == 4
    collect(study, tmp_path, tmp_path / "tables")


def test_a_part_of_the_files(pets):
    part = subset(pets, torch.tensor([39, 0]))
    assert isinstance(part, ImageIndex)
    assert [part.file("train", index) for index in (0, 1)] == [pets.file("train", index) for index in (0, 39)]
    assert part.train_labels.tolist() == [0, 1]
    assert part.file("test", 0) == pets.file("test", 0)


def test_other_processes_read_the_same_images(pets):
    spec = ModelSpec(name="lenet_3c1l", input_shape=pets.image_shape, num_classes=2, base_width_mult=0.5)
    found = []
    for num_workers in (0, 1):
        options = {"num_epochs": 1, "batch_size": 8, "augment": "resized_crop", "num_workers": num_workers}
        found.append(search(pets, spec, parse_settings("dmcp", options), seed=3).vector.multipliers)
    assert found[0] == found[1]
