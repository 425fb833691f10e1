"""Cells that fail, processes that are killed: the rest of the study goes on, and the same command finishes it."""

import os
import signal
import time

import pytest
import torch

from awnlib.data import ImageData
from awnlib.jobs.checkpoint import load_tensors
from awnlib.jobs.records import read_record
from awnlib.results.schemas import read_table
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.config import parse_study
from awnlib.training.engine import train

DIGITS = "digits/lenet_3c1l"


@pytest.fixture
def broken(make_study):
    """A study in which one method diverges, and one data set turns out to have fewer images than a batch."""
    study = make_study("broken", "awn", "shared_bn")
    study["datasets"]["tiny"] = {**study["datasets"]["digits"], "image_size": 16, "train_size": None}
    panels = [{"model": "lenet_3c1l", "dataset": "tiny"}]
    study["exhibits"]["any_width_networks.figure5"] = {"panels": panels, "methods": ["awn"]}
    study["overrides"] = [
        {"method": "shared_bn", "dataset": "digits", "train": {"lr": 1.0e30}},
        {"dataset": "tiny", "train": {"batch_size": 10000}},
    ]
    return study


def test_failed_cells_are_holes_and_the_mended_study_completes(workflow, broken):
    results = workflow.results("broken")
    workflow.configure(broken)
    code, output = workflow.call()
    assert code == 1

    message = (results / "logs" / "check_study.log").read_text()
    assert message.strip() in output
    assert message.startswith("4 of 6 jobs have no result")
    for line in (
        f"runs/{DIGITS}/shared_bn/seed0: train_model diverged: DivergedError: the loss is ",
        f"sweeps/{DIGITS}/shared_bn/seed0/as_trained: sweep_widths diverged: train_model diverged: ",
        "runs/tiny/lenet_3c1l/awn/seed0: train_model failed: ValueError: batch_size 10000 is more than the ",
        "sweeps/tiny/lenet_3c1l/awn/seed0/as_trained: sweep_widths skipped: train_model failed: ",
    ):
        assert line in message
    assert f"runs/{DIGITS}/awn" not in message
    assert "Traceback" not in output
    assert "Traceback" in (results / "logs/train_model/tiny/lenet_3c1l/awn/seed0.log").read_text()

    # Everything that does not need the lost cells is there.
    assert not (results / "complete.json").exists()
    table = read_table(results / "tables" / "any_width_networks.table2.parquet").set_index("method")
    assert table["missing"].to_dict() == {"awn": 0, "shared_bn": 1}
    assert table.loc["awn", "score"] > 0
    assert table["score"].isna().to_dict() == {"awn": False, "shared_bn": True}
    figures = [f"figures/any_width_networks.{name}" for name in ("figure5.png", "figure5_macs.svg")]
    assert all((results / name).exists() for name in ("report.html", *figures))
    states = read_table(results / "tables" / "runs.parquet").set_index(["dataset", "method"])["state"]
    assert states[("digits", "shared_bn")] == "diverged"
    assert states[("tiny", "awn")] == "failed"

    # The same command would try again what failed, but not what would diverge again.
    planned = workflow.planned(broken)
    assert (planned["train_model"], planned["sweep_widths"]) == (1, 1)

    kept = (results / f"runs/{DIGITS}/awn/seed0/record.json").read_bytes()
    broken["overrides"] = []
    broken["datasets"]["tiny"]["train_size"] = 100
    workflow.configure(broken)
    code, output = workflow.call()
    assert code == 0, output
    assert (results / "complete.json").exists()
    assert read_table(results / "tables" / "any_width_networks.table2.parquet")["missing"].sum() == 0
    assert (results / f"runs/{DIGITS}/awn/seed0/record.json").read_bytes() == kept


def test_failed_recalibration_is_tried_again(workflow, make_study):
    """The images are unreadable for a while: their file's time stays, so that nothing else is made anew."""
    study = make_study("recal", "us_net", methods={"us_net": {"recalibration": [2]}})
    results = workflow.results("recal")
    images = results / "data" / "digits.safetensors"
    record = f"{DIGITS}/us_net/seed0/recal2/record.json"
    workflow.configure(study)
    code, output = workflow.call("--", f"results/recal/runs/{DIGITS}/us_net/seed0/record.json")
    assert code == 0, output

    content, times = images.read_bytes(), images.stat()
    images.write_bytes(content[:100])
    os.utime(images, ns=(times.st_atime_ns, times.st_mtime_ns))
    code, output = workflow.call()
    assert code == 1
    assert "sweep_widths skipped: recalibrate_bn failed: DataError" in output

    images.write_bytes(content)
    os.utime(images, ns=(times.st_atime_ns, times.st_mtime_ns))
    code, output = workflow.call()
    assert read_record(results / "recalibrated" / record).state == "ok"
    assert read_record(results / "sweeps" / record).state == "ok"
    assert code == 0, output


# Python runs this at the start of every process. Thirty seconds between two checkpoints pass in milliseconds.
FAST_CLOCK = """
import sys, time
if any("run_job" in argument for argument in sys.orig_argv):
    real = time.monotonic
    time.monotonic = lambda: 10000 * real()
"""


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_study_is_finished_by_the_same_command_to_the_same_bits(workflow, make_study, tmp_path):
    study = make_study("killed", "awn", train={"num_epochs": 16, "batch_size": 20, "lr": 0.05})
    workflow.configure(study)
    results = workflow.results("killed")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FAST_CLOCK)
    path = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    command = ("--", f"results/killed/runs/{DIGITS}/awn/seed0/record.json")
    process = workflow.start(*command, start_new_session=True, env=environment)
    checkpoint = results / "checkpoints" / "runs" / DIGITS / "awn" / "seed0.safetensors"
    wait_for(checkpoint.exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < load_tensors(checkpoint)[1]["step"] < 80
    folder = results / "runs" / DIGITS / "awn" / "seed0"
    assert not (folder / "record.json").exists()

    workflow.call("--unlock")  # snakemake, killed like this, leaves its lock, and says so
    code, output = workflow.call(*command)
    assert code == 0, output
    assert read_record(folder / "record.json").measured["resumed"] == 1
    assert load_tensors(checkpoint)[1]["step"] == 80  # stays until the study is complete

    (run,) = runs(parse_study(study))
    undisturbed = train(run, ImageData.load(results / "data" / "digits.safetensors"))
    tensors, _ = load_tensors(folder / "model.safetensors")
    assert tensors.keys() == undisturbed.model.state_dict().keys()
    for name, value in undisturbed.model.state_dict().items():
        assert torch.equal(tensors[name], value), name
    history = read_table(folder / "history.parquet")
    for column in ("metric", "score"):
        assert history[column].tolist() == [row[column] for row in undisturbed.history]
