"""What is done again after a change: a table of changes and of the jobs that `snakemake -n` lists for each."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import awnlib

CELL = "pets/lenet_3c1l"
PAPER = "papers/any_width_networks"
AFTER = {"collect_results", "make_table", "draw_figure", "report", "check_study", "all"}
SHOWN = AFTER - {"collect_results"}
EVALUATED = {"recalibrate_bn", "sweep_widths", *AFTER}
TRAINED = {"train_model", *EVALUATED}


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def done(make_workflow, make_study):
    """A finished study of two runs on 30 images, whose folder is to be copied."""
    workflow = make_workflow("stale")
    for index in range(30):
        split, kind = "test" if index % 3 == 0 else "train", ("cat", "dog")[index % 2]
        write_image(workflow.folder / "data" / "pets" / split / kind / f"{index}.png", index)
    pets = {"source": "image_folder", "path": "pets", "mean": [0.5] * 3, "std": [0.3] * 3}
    exhibit = {"panels": [{"model": "lenet_3c1l", "dataset": "pets"}], "methods": ["awn", "us_net"]}
    study = make_study("stale", "awn", "us_net", datasets={"pets": pets})
    study |= {
        "exhibits": {f"any_width_networks.{name}": exhibit for name in ("table2", "figure5")},
        "recalibration": {"num_images": 10},
        "methods": {"us_net": {"recalibration": [4]}},
    }
    study["train"]["batch_size"] = 10
    workflow.configure(study)
    code, output = workflow.call()
    assert code == 0, output
    return workflow


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the finished study, with a copy of the package that it runs."""
    shutil.copytree(done.folder, tmp_path / "copy")
    shutil.copytree(Path(awnlib.__file__).parent, tmp_path / "package" / "awnlib")
    return type(done)(tmp_path / "copy")


def listed(workflow, *arguments, **environment):
    """Return the rules of which a dry-run lists jobs."""
    package = str(workflow.folder.parent / "package")
    variables = {**os.environ, "PYTHONPATH": package, **{name: str(value) for name, value in environment.items()}}
    with workflow.start("--dry-run", *arguments, env=variables) as process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    if "Nothing to be done" in output:
        return set()
    return {line.split()[0] for line in output.split("Job stats:")[1].split("\ntotal")[0].splitlines()[3:]}


def edit(module, old, new):
    """Return a change of a file of the package."""

    def change(workflow):
        file = workflow.folder.parent / "package" / "awnlib" / (module if "." in module else f"{module}.py")
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    return change


def setting(**changes):
    """Return a change of the study's settings."""

    def change(workflow):
        study = yaml.safe_load((workflow.folder / "study.yaml").read_text())
        for key, value in changes.items():
            study[key] = {**study[key], **value} if isinstance(value, dict) and key in study else value
        workflow.configure(study)

    return change


def pets(workflow):
    return workflow.folder / "data" / "pets"


def touch(workflow):
    os.utime(pets(workflow) / "train" / "cat" / "2.png")


def overwrite(workflow):
    write_image(pets(workflow) / "train" / "cat" / "2.png", 100)


def add(workflow):
    write_image(pets(workflow) / "train" / "cat" / "100.png", 100)


def delete(workflow):
    (pets(workflow) / "train" / "cat" / "2.png").unlink()


def move(workflow):
    """The same files in another place, which the study now names."""
    (workflow.folder / "data").rename(workflow.folder / "elsewhere")
    setting(data_folder="elsewhere")(workflow)


def prepare_again(workflow):
    """As a preparation of the same images leaves it."""
    for file in (workflow.results("stale") / "data").iterdir():
        os.utime(file)


def lose(workflow):
    """Neither the source nor the prepared images: a laptop that has the results alone."""
    shutil.rmtree(workflow.folder / "data")
    (workflow.results("stale") / "data" / "pets.safetensors").unlink()


def lose_and_train_longer(workflow):
    (workflow.results("stale") / "data" / "pets.safetensors").unlink()
    setting(train={"num_epochs": 2})(workflow)


def nothing(workflow):
    """Change nothing."""


REPORTED = {"report", "check_study", "all"}
DRAWN = {"draw_figure", *REPORTED}
MADE = {"make_table", *REPORTED}
TABLE = {
    "nothing": (nothing, set()),
    # images: what follows from their content is known when they are prepared
    "time of an image": (touch, {"prepare_data"}),
    "content of an image": (overwrite, {"prepare_data"}),
    "image added": (add, {"prepare_data"}),
    "image deleted": (delete, {"prepare_data"}),
    "data folder moved": (move, REPORTED),
    "prepared to the same content": (prepare_again, set()),
    "images gone": (lose, set()),
    "prepared images gone, trained longer": (lose_and_train_longer, {"prepare_data", *TRAINED}),
    # code
    "job of training": (edit("studies/widths/jobs", "DRIFT_IMAGES = 512", "DRIFT_IMAGES = 8"), TRAINED),
    "job of recalibration": (
        edit("studies/widths/jobs", "run.widths[0], points)", "1 * run.widths[0], points)"),
        EVALUATED,
    ),
    "job of sweeps": (
        edit("studies/widths/jobs", '"max_width_mult": max', '"max_width_mult": 1 + max'),
        {"sweep_widths", *AFTER},
    ),
    "engine of training": (edit("training/objectives", "def loss_weights(", "def loss_weights(_=None, *"), TRAINED),
    "comment in the engine": (edit("training/engine", "def build_model", "# here\ndef build_model"), set()),
    "words of progress": (edit("jobs/progress", "{self.title}: ", "{self.title} is at "), set()),
    "another model": (edit("models/resnet18", "\nbuild = ", "\nx = 1\nbuild = "), set()),
    "this model": (edit("models/lenet_3c1l", "def _pooled(", "def _pooled(_=None, *"), TRAINED),
    "preparing": (edit("data/decode", "def drop_unused_colour(", "def drop_unused_colour(_=None, *"), {"prepare_data"}),
    "figures": (edit("results/style", '"dpi": 150', '"dpi": 100'), DRAWN),
    "another method": (edit("training/methods.yaml", "\ns_net:", "\ns_net2:\n  base: s_net\n\ns_net:"), set()),
    "one renderer": (edit("results/renderers/curves", "SIZE = (3.4, 3.7)", "SIZE = (3.4, 3.8)"), DRAWN),
    "another renderer": (edit("results/renderers/bn_statistics", "SIZE = (2.7, 2.25)", "SIZE = (2.7, 2.3)"), set()),
    "caption of a figure": (edit(f"{PAPER}/exhibits.yaml", "The same curves over", "Those curves over"), DRAWN),
    "options of a table": (edit(f"{PAPER}/exhibits.yaml", '"AUC of the width-accuracy', '"Area under the'), MADE),
    "number of a paper": (edit(f"{PAPER}/values.csv", ",90.67,Table 2", ",90.66,Table 2"), MADE),
    "words of the metric": (edit("tasks/classification", '="test accuracy (%)"', '="accuracy (%)"'), SHOWN),
    "words of another metric": (edit("tasks/classification", "cross-entropy (nats)", "cross-entropy"), set()),
    "title of the model": (edit("models/lenet_3c1l", 'TITLE = "LeNet-3C1L"', 'TITLE = "LeNet"'), SHOWN),
    "title of another model": (edit("models/resnet18", 'TITLE = "ResNet18"', 'TITLE = "ResNet-18"'), set()),
    "colour of a method": (edit("training/methods.yaml", '"#0072b2"', '"#0072b3"'), DRAWN),
    "colour of another method": (edit("training/methods.yaml", '"#009e73"', '"#009e74"'), set()),
    "figure that opens the report": (edit(f"{PAPER}/exhibits.yaml", "main: figure5", "main: figure4"), REPORTED),
    "title of another figure": (edit(f"{PAPER}/exhibits.yaml", "More widths in training", "More"), set()),
    "template of the report": (edit("report/widths.html.jinja", "{# The page", "{# A page"), REPORTED),
    # settings
    "a new setting": (
        edit("training/run", "    compile: bool", '    new: int = Field(default=1, description="")\n    compile: bool'),
        REPORTED,
    ),
    "label of a method": (setting(methods={"awn": {"label": "Any"}}), AFTER),
    "look of a method": (setting(methods={"awn": {"look": {"color": "#123456"}}}), DRAWN),
    "batch size of sweeps": (setting(sweep={"batch_size": 10}), REPORTED),
    "widths of sweeps": (setting(sweep={"most_widths": 4}), {"sweep_widths", *AFTER}),
    "epochs": (setting(train={"num_epochs": 2}), TRAINED),
    "recalibration": (setting(recalibration={"num_images": 12}), EVALUATED),
    "seed added": (setting(seeds=[0, 1]), TRAINED),
}


@pytest.mark.parametrize("change", TABLE)
def test_what_a_change_does_again(copy, change):
    apply, expected = TABLE[change]
    apply(copy)
    assert listed(copy) == expected


def test_another_data_folder_in_the_environment(copy, tmp_path):
    shutil.copytree(pets(copy), tmp_path / "other" / "pets")
    assert listed(copy, AWN_DATA=tmp_path / "other") == set()
    os.utime(tmp_path / "other" / "pets" / "test" / "dog" / "3.png")
    assert listed(copy, AWN_DATA=tmp_path / "other") == {"prepare_data"}


def test_a_set_can_be_prepared_again_by_force(copy):
    assert listed(copy, "--forcerun", "prepare_data") == {"prepare_data"}


def test_another_test_image_is_swept_and_trains_nothing(copy):
    """One call: the images are prepared, found to be others, and what has read them is done again."""
    write_image(pets(copy) / "test" / "dog" / "3.png", 100)
    records = sorted(copy.results("stale").rglob("record.json"))
    before = {path: path.stat().st_mtime_ns for path in records}
    code, output = copy.call()
    assert code == 0, output
    again = [path.relative_to(copy.results("stale")) for path in records if path.stat().st_mtime_ns != before[path]]
    assert {path.parts[0] for path in again} == {"sweeps"}
    assert listed(copy) == set()
    touch(copy)
    code, output = copy.call()
    assert code == 0, output
    assert "1 of 1 steps (100%) done" in output
