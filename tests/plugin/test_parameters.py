"""Resources become parameters of submitit, or an error that names the rule and the resource."""

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_submitit import ExecutorSettings
from snakemake_executor_plugin_submitit.gpus import Gpus
from snakemake_executor_plugin_submitit.parameters import grace_s, submission_parameters

SLURM = ExecutorSettings()


def script(job, settings=SLURM):
    """Return the flags of the script that submitit would give to sbatch."""
    from submitit.slurm.slurm import _make_sbatch_string

    lines = _make_sbatch_string("run", "/folder", **submission_parameters(job, settings)).splitlines()
    flags = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    return {flag.partition("=")[0]: flag.partition("=")[2] for flag in flags} | {"srun": lines[-1]}


def test_standard_resources_reach_sbatch(make_job):
    job = make_job(
        mem_mb=3000,
        runtime=720,
        gpu=2,
        nodes=3,
        slurm_partition="long",
        slurm_account="lab",
        slurm_qos="low",
        constraint="volta",
        tmpdir="/scratch",
        disk_mb=50,
    )
    flags = script(job)
    expected = {"job-name": "train", "cpus-per-task": "2", "mem": "3000MB", "time": "720", "gpus-per-node": "2"}
    expected |= {"nodes": "3", "partition": "long", "account": "lab", "qos": "low", "constraint": "volta"}
    assert {name: flags[name] for name in expected} == expected
    assert "--nodes=1 --ntasks=1 --cpus-per-task=2 run" in flags["srun"]
    assert not {"disk_mb", "tmpdir"} & flags.keys()


def test_job_without_resources_gets_an_hour_and_no_gpu(make_job):
    flags = script(make_job(gpu=0))
    assert flags["time"] == "60"
    assert not {"gpus-per-node", "mem", "partition"} & flags.keys()


def test_gpu_model(make_job):
    assert script(make_job(gpu=2, gpu_model="a100"))["gpus-per-node"] == "a100:2"


def test_everything_else_goes_through_two_doors(make_job):
    own = '{"exclude": "node7", "setup": ["module load cuda"], "additional_parameters": {"nice": 5}}'
    flags = script(make_job(submitit=own, slurm_extra="--hold --reservation='my own'"))
    assert (flags["exclude"], flags["nice"], flags["hold"], flags["reservation"]) == ("node7", "5", "", "'my own'")


def test_own_parameters_win_over_resources(make_job):
    assert script(make_job(runtime=10, submitit='{"time": 20}'))["time"] == "20"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"submitit": "{exclude"}, "rule train: resource submitit is no JSON"),
        ({"submitit": '["exclude"]'}, "rule train: resource submitit must be a JSON object"),
        (
            {"slurm_extra": "-p long"},
            "rule train: resource slurm_extra must be sbatch flags like --name=value: -p long",
        ),
    ],
)
def test_wrong_resources_are_named(make_job, resources, message):
    with pytest.raises(WorkflowError, match=message.replace("[", r"\[")):
        submission_parameters(make_job(**resources), SLURM)


@pytest.mark.parametrize(("runtime", "seconds"), [(720, 90), (6, 90), (4, 60), (2, 30)])
def test_signal_leaves_time_to_save_and_a_short_job_time_to_begin(make_job, runtime, seconds):
    assert submission_parameters(make_job(runtime=runtime), SLURM)["signal_delay_s"] == seconds


def test_local_and_debug_need_little(make_job):
    job = make_job(runtime=5, mem_mb=100, slurm_partition="long")
    local = ExecutorSettings(cluster="local")
    assert submission_parameters(job, local) == {"timeout_min": 5, "signal_delay_s": 30}
    assert submission_parameters(job, ExecutorSettings(cluster="debug")) == {}
    assert (grace_s(SLURM), grace_s(local)) == (60, 15)


# --- GPUs of this machine --------------------------------------------------------------------------------------------


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,MIG-5")
    return Gpus()


def test_jobs_at_once_get_different_gpus(gpus):
    assert [gpus.take(1), gpus.take(2)] == [["0"], ["2", "MIG-5"]]


def test_gpus_are_shared_evenly_and_used_again(gpus):
    taken = [gpus.take(1) for _ in range(6)]
    assert sorted(name for names in taken for name in names) == ["0", "0", "2", "2", "MIG-5", "MIG-5"]
    gpus.give_back(["2"])
    assert gpus.take(1) == ["2"]


def test_too_many_gpus_are_refused(gpus):
    with pytest.raises(WorkflowError, match=r"gpu=4, but this machine has 3 \(0, 2, MIG-5; CUDA_VISIBLE_DEVICES"):
        gpus.take(4)


def test_machine_without_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(WorkflowError, match=r"gpu=1, but this machine has 0 \(none;"):
        Gpus().take(1)


def test_nvidia_smi_names_the_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\n[ "$1" = --query-gpu=index ] && printf "0\\n1\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Gpus().names == ["0", "1"]
    program.unlink()
    assert Gpus().names == []
