"""Snakemake itself with the plugin, on this machine."""

import os
import subprocess
import sys

import pytest

SNAKEFILE = """
rule all:
    input: "total"

rule part:
    output: "part{i}"
    log: "logs/part{i}.log"
    resources: runtime=5, gpu=1
    shell: "if [ {wildcards.i} = {config[bad]} ]; then echo no >&2; exit 3; fi; echo $CUDA_VISIBLE_DEVICES > {output}"

rule total:
    input: expand("part{i}", i=range(2))
    output: "total"
    shell: "sort {input} > {output}"
"""


@pytest.fixture
def call(tmp_path):
    """Return a function that runs Snakemake and returns its exit status and output."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "4,6"}

    def run(cluster, bad=9):
        command = [sys.executable, "-m", "snakemake", "--executor", "submitit", "--submitit-cluster", cluster]
        command += ["--jobs", "2", "--seconds-between-status-checks", "1", "--keep-going", "--config", f"bad={bad}"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=tmp_path, env=environment, timeout=300, check=False, **streams)
        return done.returncode, done.stdout

    return run


@pytest.mark.slow
def test_jobs_at_once_get_different_gpus_and_a_failed_one_is_repeated_alone(call, tmp_path):
    code, output = call("local", bad=1)
    assert code == 1
    assert "Snakemake in it failed (status 1)" in output
    assert "_0_log.err" in output
    assert not list((tmp_path / ".snakemake/submitit/tickets").glob("*"))
    code, output = call("local")
    assert code == 0, output
    assert output.count("submitted as local job") == 2  # the failed part, and the total
    assert (tmp_path / "total").read_text() in ("4\n6\n", "4\n4\n")


@pytest.mark.slow
def test_debug_runs_inside_snakemake(call, tmp_path):
    code, output = call("debug")
    assert code == 0, output
    assert (tmp_path / "total").read_text() == "4\n6\n"
