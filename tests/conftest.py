"""What many tests need: a tiny study, runs of it, and ten shapes that a network learns within seconds."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from awnlib.data import ImageData, ImagePair, ImagePairs
from awnlib.data.bicubic import reduced, to_image, to_pixels
from awnlib.seeding import rng
from awnlib.studies.shell import do_job
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import jobs

settings.register_profile("any_machine", deadline=None)  # a busy machine is no failure
settings.load_profile("any_machine")
REPOSITORY = Path(__file__).parents[1]
STUDY = {
    "study": "tiny",
    "seeds": [0],
    "datasets": {"shapes": {"source": "mnist5k"}},
    "exhibits": {
        "any_width_networks.table2": {"panels": [{"model": "lenet_3c1l", "dataset": "shapes"}], "methods": ["awn"]}
    },
}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture
def study_data():
    """Plain data of the smallest study, to change at will."""
    return copy.deepcopy(STUDY)


@pytest.fixture
def make_run(study_data):
    """Return a function that gives the run of a method: `make_run("awn", num_epochs=2, seed=1)`."""

    def make(method="awn", *, seed=0, individual=0, **train):
        study_data["seeds"] = [seed]
        study_data["train"] = {"num_epochs": 2, "batch_size": 20, "lr": 0.05, **train}
        study_data["exhibits"]["any_width_networks.table2"]["methods"] = [method]
        study_data.setdefault("track", {"num_points": 2})  # most steps unrecorded, as in real runs
        return runs(parse_study(study_data))[individual]

    return make


@pytest.fixture(scope="session")
def shapes():
    """What `ten_shapes` makes."""
    return ten_shapes()


def ten_shapes():
    """One hundred noisy images of 16x16 pixels, ten classes: a bright block in one of ten places."""
    labels = torch.arange(100) % 10
    images = torch.randint(0, 60, (100, 1, 16, 16), generator=rng(0, "noise"), dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 8 * (label // 5), 3 * (label % 5)
        image[0, row : row + 8, column : column + 3] += 180
    mean, std = images.double().mean().item() / 255, images.double().std(correction=0).item() / 255
    test = images[:20].clone(), labels[:20].clone()
    return ImageData("shapes", images, labels, *test, tuple("abcdefghij"), (mean,), (std,), "ten shapes")


def six_photographs():
    """Smooth colours of several sizes, one of them in grey, with PIL's copies of half the size; two are for tests."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 80), torch.linspace(0, 5, 88), indexing="ij")
    pairs = []
    for number in range(6):
        waves = [torch.sin(x * (1 + colour) + number) * torch.cos(y * (number + 1)) for colour in range(3)]
        pixels = (110 * torch.stack(waves) + 128).to(torch.uint8)[: 1 if number == 5 else 3, : 64 + 2 * number]
        pairs.append(ImagePair(f"p{number}", pixels, to_pixels(reduced(to_image(pixels), 2))))
    return ImagePairs("photographs", 2, pairs[:4], {"some": pairs[4:]}, (0.5,) * 3, (0.25,) * 3, "computed")


DATA = {"shapes": ten_shapes, "photographs": six_photographs}
CONFIGS = {
    "shapes": {"source": "mnist5k"},
    "photographs": {"source": "photographs", "path": "nowhere", "scale": 2, "test_paths": {"some": "nowhere"}},
}
"""Settings under which tests put what `DATA` makes in the place of a prepared data set."""


@pytest.fixture(scope="session")
def finished(shapes, tmp_path_factory):
    """A finished study, without the workflow: (study, results folder). Copy the folder before changing it."""
    data = copy.deepcopy(STUDY)
    data |= {"train": {"num_epochs": 2, "batch_size": 20, "lr": 0.05}, "recalibration": {"num_images": 40}}
    data |= {"track": {"num_points": 2}, "device": "cpu"}
    data["methods"] = {"us_net": {"recalibration": [2, 3]}}
    data["overrides"] = [{"method": "i_net", "widths": [1.0, 0.5]}]
    data["exhibits"]["any_width_networks.table2"]["methods"] = ["awn", "s_net", "us_net", "i_net"]
    study, results = parse_study(data), tmp_path_factory.mktemp("results")
    finish(study, shapes, results)
    return study, results


def finish(study, data, results):
    """Do all jobs of a study, up to its sweeps, without the workflow."""
    if data is not None:  # of a task without a data set
        data.save(results / "data" / f"{data.name}.safetensors")
    for there in jobs(study).values():
        for job in there.values():
            do_job(job, results)
