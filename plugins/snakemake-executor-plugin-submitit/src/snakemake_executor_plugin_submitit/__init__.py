"""Snakemake executor plugin that runs jobs through submitit: on SLURM, as local processes, or in this process."""

from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_submitit.executor import Executor
from snakemake_executor_plugin_submitit.settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    job_deploy_sources=False,
    non_local_exec=True,
    implies_no_shared_fs=False,
    pass_group_args=True,
)
