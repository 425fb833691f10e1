"""What many tests need: a tiny study, runs of it, and ten shapes that a network learns within seconds."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from awnlib.data import ImageData
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


def finish(study, shapes, results):
    """Do all jobs of a study, up to its sweeps, without the workflow."""
    if shapes is not None:  # of a task without a data set
        shapes.save(results / "data" / "shapes.safetensors")
    for there in jobs(study).values():
        for job in there.values():
            do_job(job, results)
