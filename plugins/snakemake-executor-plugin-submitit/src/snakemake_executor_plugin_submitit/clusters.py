"""Handing jobs to submitit and taking their results back."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError

if TYPE_CHECKING:
    import submitit

    from snakemake_executor_plugin_submitit.job import SnakemakeJob
    from snakemake_executor_plugin_submitit.tickets import Ticket

COMMANDS = ("sbatch", "srun", "squeue", "scancel")


def check_installation(cluster: str) -> None:
    """Raise a `WorkflowError` that says what to do if submitit, or a program of SLURM, is missing."""
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise WorkflowError(f"the executor needs submitit ({error}); install it with: pip install submitit") from None
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if cluster == "slurm" and missing:
        raise WorkflowError(
            f"--submitit-cluster slurm needs {', '.join(missing)} on the PATH: run Snakemake on a machine that submits "
            "to SLURM, or choose --submitit-cluster local"
        )


def submit(
    cluster: str, folder: Path, parameters: dict[str, Any], jobs: Sequence[SnakemakeJob], *, max_requeues: int
) -> list[submitit.Job[int]]:
    """Submit jobs of one shape, on SLURM as one array; return submitit's jobs in the same order."""
    import submitit

    executor: submitit.Executor
    if cluster == "slurm":
        executor = submitit.SlurmExecutor(folder, max_num_timeout=max_requeues)
    elif cluster == "local":
        executor = submitit.LocalExecutor(folder, max_num_timeout=max_requeues)
    else:
        executor = submitit.DebugExecutor(folder)
    with _outside_of_job():
        executor.update_parameters(**parameters)
        return executor.submit_array(jobs)


def find_job_id(ticket: Ticket) -> str:
    """Return the number of a job from what submitit left in its folder, or "" if its submission was cut short.

    The last step of a submission gives the file of the job's function a name with the job's number. A job waits a
    minute for that file and then ends, so one whose submission was cut short never works.
    """
    ending = f"_{ticket.task}_submitted.pkl" if ticket.task else "_submitted.pkl"
    return next((path.name.removesuffix("_submitted.pkl") for path in Path(ticket.folder).glob(f"*{ending}")), "")


def log_files(ticket: Ticket) -> list[str]:
    """Return the files that hold a job's standard error and output."""
    from submitit.core.utils import JobPaths

    paths = JobPaths(ticket.folder, ticket.job_id)
    return [str(path) for path in (paths.stderr, paths.stdout) if path.exists()]


def read_result(ticket: Ticket) -> int | str | None:
    """Return a job's exit status, or what went wrong in submitit as text, or None if it left no result (yet)."""
    from submitit.core.utils import JobPaths

    path = JobPaths(ticket.folder, ticket.job_id).result_pickle
    try:
        outcome, value = pickle.loads(path.read_bytes())
    except OSError:
        return None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        return f"{path} is damaged ({error})"
    return int(value) if outcome == "success" else str(value).strip().splitlines()[-1]


def cancel_slurm(job_ids: Sequence[str]) -> None:
    """Cancel jobs; those that ended already do not matter."""
    if job_ids:
        subprocess.run(["scancel", *job_ids], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block; processes that are started in it do not receive Ctrl-C.

    In the middle of a submission, an interruption would leave jobs that this Snakemake does not know of.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda signum, _frame: pressed.append(signum))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, previous)
    if pressed:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _outside_of_job() -> Iterator[None]:
    """Hide the SLURM job that this process may run in: its variables would become limits of new jobs."""
    from submitit.helpers import clean_env

    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(kept)
        yield
