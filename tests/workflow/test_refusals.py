"""What is refused before any job starts."""

import os
import shutil
import subprocess
import sys
import venv

import yaml

from awnlib.jobs import start
from awnlib.jobs.start import lock_study


def test_a_study_that_is_being_run_is_refused(workflow, make_study):
    """Snakemake's own lock would let it pass: it is gone whenever any other Snakemake in the folder has ended."""
    workflow.configure(make_study("busy", "awn"))
    lock_study(workflow.results("busy"))
    try:
        code, output = workflow.call()
        assert code == 1
        assert f"results/busy is in use by process {os.getpid()} on " in output
        assert "other studies may run meanwhile" in output
        assert "Traceback" not in output
        assert not (workflow.results("busy") / "data").exists()
        assert workflow.planned(make_study("busy", "awn"))["all"] == 1
    finally:
        os.close(start._held.pop())


def test_an_environment_in_a_folder_with_a_space_is_refused(workflow, make_study, tmp_path):
    workflow.configure(make_study("spaces", "awn"))
    venv.EnvBuilder(symlinks=True).create(tmp_path / "my clone" / ".venv")
    python = tmp_path / "my clone" / ".venv" / "bin" / "python"
    result = subprocess.run(
        [python, "-m", "snakemake", "--cores", "1", "--configfile", "study.yaml"],
        cwd=workflow.folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path for path in sys.path if path])},
    )
    assert result.returncode == 1
    assert f"special characters: {python}; make the virtual environment in another folder" in result.stderr
    assert not workflow.results("spaces").exists()


def test_a_checkout_in_a_folder_with_a_space(workflow, make_study, tmp_path):
    """As long as its environment is elsewhere."""
    clone = tmp_path / "my clone"
    shutil.copytree(workflow.folder, clone, ignore=shutil.ignore_patterns("my clone"))
    (clone / "study.yaml").write_text(yaml.safe_dump(make_study("spaces", "awn")))
    target = "results/spaces/runs/digits/lenet_3c1l/awn/seed0/record.json"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "study.yaml", "--", target]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (clone / target).exists()
