"""From a job's resources, in Snakemake's vocabulary, to the parameters of a submission, in submitit's."""

from __future__ import annotations

import json
import shlex
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit.settings import ExecutorSettings

DEFAULT_RUNTIME_MIN = 60
REQUEUE_S = 30  # what submitit needs, after a job's processes ended, to requeue it
LOCAL_SIGNAL_DELAY_S = 30
RENAMED = {
    "slurm_partition": "partition",
    "slurm_account": "account",
    "slurm_qos": "qos",
    "slurm_constraint": "constraint",
    "constraint": "constraint",
    "nodes": "nodes",
}


def submission_parameters(job: JobExecutorInterface, settings: ExecutorSettings) -> dict[str, Any]:
    """Return the parameters of submitit's executor of a cluster (Slurm-, Local- or DebugExecutor) for a job.

    Raises
    ------
    WorkflowError
        If a resource has a value that cannot be used; the message names the rule and the resource.
    """
    resources = dict(job.resources.items())
    minutes = int(resources.get("runtime", DEFAULT_RUNTIME_MIN))
    if settings.cluster == "slurm":
        return _slurm_parameters(job, resources, minutes, settings)
    return {"timeout_min": minutes, "signal_delay_s": LOCAL_SIGNAL_DELAY_S} if settings.cluster == "local" else {}


def grace_s(settings: ExecutorSettings) -> int:
    """Return the seconds between SIGTERM and SIGKILL; local jobs must be done before submitit's own time limit."""
    return (
        settings.grace_period if settings.cluster == "slurm" else min(settings.grace_period, LOCAL_SIGNAL_DELAY_S // 2)
    )


def _slurm_parameters(
    job: JobExecutorInterface, resources: dict[str, Any], minutes: int, settings: ExecutorSettings
) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "job_name": job.name,
        "time": minutes,
        "cpus_per_task": job.threads,
        # SLURM signals up to a minute early: a short job must have begun by then.
        "signal_delay_s": min(settings.grace_period + REQUEUE_S, minutes * 60 // 4),
        "array_parallelism": settings.array_parallelism,
    }
    if "mem_mb" in resources:
        parameters["mem"] = f"{resources['mem_mb']}MB"
    if resources.get("gpu"):
        parameters["gpus_per_node"] = ":".join(
            str(resources[name]) for name in ("gpu_model", "gpu") if name in resources
        )
    parameters |= {name: resources[resource] for resource, name in RENAMED.items() if resource in resources}
    parameters |= _own_parameters(job.name, str(resources.get("submitit", "{}")))
    flags = _sbatch_flags(job.name, str(resources.get("slurm_extra", "")))
    parameters["additional_parameters"] = {**parameters.get("additional_parameters", {}), **flags}
    # One process, on the first node: a rule that wants more calls srun itself. Since SLURM 22.05 srun does not take
    # over the number of CPUs of the job.
    steps = ["--nodes=1", "--ntasks=1", f"--cpus-per-task={parameters['cpus_per_task']}"]
    parameters["srun_args"] = [*steps, *parameters.get("srun_args", ())]
    return parameters


def _own_parameters(rule: str, text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise WorkflowError(f"rule {rule}: resource submitit is no JSON ({error}): {text}") from None
    if not isinstance(parameters, dict):
        raise WorkflowError(f'rule {rule}: resource submitit must be a JSON object like {{"exclude": "node7"}}: {text}')
    return parameters


def _sbatch_flags(rule: str, text: str) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            raise WorkflowError(f"rule {rule}: resource slurm_extra must be sbatch flags like --name=value: {text}")
        flags[name.removeprefix("--")] = value if equals else True
    return flags
