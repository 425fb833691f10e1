"""The plugin's options: each field is `--submitit-<name>` on the command line and a key of a profile."""

# No postponed annotations here: Snakemake reads the types of the fields when it builds its command line.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """How and where submitit runs the jobs."""

    cluster: Literal["slurm", "local", "debug"] = field(
        default="slurm",
        metadata={
            "help": "Where jobs run: through SLURM, as processes of this machine, or one by one inside Snakemake "
            "(slurm, local, debug)."
        },
    )
    folder: Path = field(
        default=Path(".snakemake/submitit"),
        metadata={"help": "Folder of submitit's logs and of the tickets of submitted jobs; all nodes must see it."},
    )
    array_parallelism: int = field(
        default=256, metadata={"help": "How many jobs of one SLURM array may run at the same time."}
    )
    array_size: int = field(
        default=1000, metadata={"help": "Most jobs in one SLURM array (the cluster allows MaxArraySize - 1)."}
    )
    on_cancel: Literal["cancel", "detach"] = field(
        default="cancel",
        metadata={
            "help": "What Ctrl-C does to submitted jobs: cancel them, or detach from them, so that they go on and the "
            "next Snakemake attaches to them (cancel, detach)."
        },
    )
    max_requeues: int = field(
        default=3, metadata={"help": "How often a job that reaches its time limit is requeued before it fails."}
    )
    max_restarts: int = field(
        default=100,
        metadata={
            "help": "How often SLURM may start a job again for whatever reason (pre-emption, requeue, a node that "
            "failed) before it fails."
        },
    )
    grace_period: int = field(
        default=60,
        metadata={"help": "Seconds that a job's processes get between SIGTERM and SIGKILL, to save their state."},
    )
