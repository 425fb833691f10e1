"""A fake SLURM: programs on the PATH that keep their queue in a folder, and jobs as an executor plugin sees them."""

import asyncio
import pickle
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest


def pytest_pycollect_makemodule():
    for module in ("submitit", "snakemake_executor_plugin_submitit"):
        pytest.importorskip(
            module, reason=f"{module} is missing: pip install ./plugins/snakemake-executor-plugin-submitit"
        )


# sbatch numbers jobs from 1 and keeps their scripts; it does not run them. squeue lists the files of the queue.
PROGRAMS = {
    "sbatch": """
        number = len(list(folder.glob("*.sh"))) + 1
        script = pathlib.Path(sys.argv[1]).read_text()
        if "--partition=nowhere" in script:
            sys.exit("sbatch: error: invalid partition specified: nowhere")
        (folder / f"{number}.sh").write_text(script)
        (folder / f"{number}.path").write_text(sys.argv[1])
        (folder / f"{number}.env").write_text("\\n".join(sorted(os.environ)))
        array = re.search(r"--array=0-(\\d+)", script)
        for name in [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [str(number)]:
            (folder / f"{name}.queued").write_text("PENDING 0")
        print(f"Submitted batch job {number}")
    """,
    "squeue": """
        if (folder / "down").exists():
            sys.exit("squeue: error: Unable to contact slurm controller")
        for path in sorted(folder.glob("*.queued")):
            if "--format" in sys.argv:
                print(path.stem, (folder / path.stem.partition("_")[0]).with_suffix(".path").read_text())
                continue
            print(*(f"{word:40}" for word in [path.stem, *path.read_text().split()]), sep="")
    """,
    "scancel": """
        (folder / "cancelled").open("a").write(" ".join(sys.argv[1:]) + "\\n")
        for name in sys.argv[1:]:
            (folder / f"{name}.queued").unlink(missing_ok=True)
    """,
    "srun": "",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a fake SLURM that is first on the PATH; without accounting, like many clusters."""
    folder, programs = tmp_path / "slurm", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    for name, text in PROGRAMS.items():
        write_program(programs / name, folder, text)
    monkeypatch.setenv("PATH", str(programs))
    return folder


@pytest.fixture
def add_program(slurm):
    """Return a function that adds a program to the fake SLURM."""
    return lambda name, text: write_program(slurm.parent / "bin" / name, slurm, f"{' ' * 8}{text}")


def write_program(path, folder, text):
    lines = [f"#!{sys.executable} -S", "import os, pathlib, re, sys", f"folder = pathlib.Path({str(folder)!r})"]
    path.write_text("\n".join([*lines, *(line[8:] for line in text.splitlines())]) + "\n")
    path.chmod(0o755)


class Resources(dict):
    """Like Snakemake's: `in` looks at values, so that code must not use it to look for names."""

    def __contains__(self, value):
        return value in self.values()


class Job:
    """A job as far as the plugin looks at it; keeps what is reported of it."""

    threads, jobid, attempt = 2, 1, 1

    def __init__(self, name="train", output="out", *, files=(), params=(), shellcmd="touch out", **resources):
        self.name, self.output, self.input = name, [str(output)], list(files)
        self.rule = SimpleNamespace(name=name, shellcmd=shellcmd)
        self.params = SimpleNamespace(_allitems=lambda: list(params))
        self.wildcards_dict, self.resources, self.reports = {}, Resources(resources), []

    def is_group(self):
        return False

    def get_wait_for_files(self):
        return self.input

    def log_info(self):
        pass

    def log_error(self, msg, **details):
        self.reports.append((msg, details))

    def register(self, external_jobid):
        self.reports.append(external_jobid)


@pytest.fixture
def make_job():
    return Job


@pytest.fixture
def make_executor(tmp_path, monkeypatch):
    """Return a function that makes an executor without the thread that checks jobs, and outside of a workflow."""
    from snakemake_executor_plugin_submitit import ExecutorSettings, executor

    monkeypatch.setattr(executor.Executor, "format_job_exec", lambda self, job: f"echo {job.name}")
    monkeypatch.setattr(executor, "time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))

    def make(**settings):
        made = object.__new__(executor.Executor)
        outcomes = SimpleNamespace(
            submitted=[],
            good=[],
            bad=[],
            submit_callback=lambda job: outcomes.submitted.append(job),
            finish_callback=lambda job: outcomes.good.append(job),
            error_callback=lambda job: outcomes.bad.append(job),
        )
        made.messages = []
        made.logger = SimpleNamespace(info=made.messages.append, error=made.messages.append)
        made.workflow = SimpleNamespace(
            scheduler=outcomes, remote_execution_settings=SimpleNamespace(seconds_between_status_checks=0)
        )
        made.executor_settings = ExecutorSettings(folder=tmp_path / "submitit", **settings)
        made.active_jobs, made.lock, made.outcomes = [], threading.Lock(), outcomes
        made._next_seconds_between_status_checks = None
        made.__post_init__()
        return made

    return make


@pytest.fixture
def check():
    """Return a function that lets an executor look at its active jobs once."""

    def look(executor):
        async def collect():
            return [info async for info in executor.check_active_jobs(list(executor.active_jobs))]

        executor.active_jobs = asyncio.run(collect())

    return look


@pytest.fixture
def finish(slurm):
    """Return a function that lets a submitted job leave the queue, with what the job's process would leave."""

    def leave(executor, job_id, *outcome):
        (slurm / f"{job_id}.queued").unlink()
        if outcome:
            folder = Path(executor.submissions[job_id].ticket.folder)
            (folder / f"{job_id}_0_result.pkl").write_bytes(pickle.dumps(outcome))

    return leave
