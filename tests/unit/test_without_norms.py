"""A network without norm layers goes through training, resuming, recalibration, sweep and tables like any other."""

import os
import shutil
import subprocess
import sys

CHECK = """
from pathlib import Path

import torch

from awnlib.studies.widths.collect import collect
from awnlib.studies.widths.config import parse_study
from awnlib.models import create_model
from awnlib.results.schemas import read_table
from awnlib.results.exhibits import renderer_of
from tests.conftest import STUDY, finish, ten_shapes

torch.set_num_threads(1)
panel = {"model": "bare", "dataset": "shapes"}
methods = ["awn", "awn_rs", "s_net", "us_net"]
train = {"num_epochs": 2, "batch_size": 20, "lr": 0.05}
name = "any_width_networks.table2"
exhibits = {name: {"panels": [panel], "methods": methods}}
study = parse_study(STUDY | {"train": train, "exhibits": exhibits, "widths": [1.0, 0.5], "device": "cpu"})
finish(study, ten_shapes(), Path("results"))
collect(study, Path("results"), Path("tables"))
runs, evaluations, sweep, history, statistics, drift = (
    read_table(f"tables/{name}.parquet")
    for name in ("runs", "evaluations", "sweep", "history", "bn_statistics", "bn_drift")
)
assert set(runs.state) == set(evaluations.state) == {"ok"}, (list(runs.error), list(evaluations.error))
assert set(sweep.method) == set(history.method) == set(methods)
assert len(statistics) == len(drift) == 0
assert sweep.switch_width_mult.isna().all()
assert sweep.score.notna().all()
assert renderer_of(name).make(study.exhibit(name), {"evaluations": evaluations}).score.notna().all()
assert not list(create_model("bare").norms())
"""


def test_every_method_goes_from_training_to_the_table(repository, tmp_path):
    shutil.copytree(repository / "awnlib", tmp_path / "awnlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "tests/toys/bare.py", tmp_path / "awnlib/models")
    (tmp_path / "results").mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(repository)])}
    call = [sys.executable, "-c", CHECK]
    result = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
