"""What a short job costs beside its work: this repository's plugin, Snakemake's own for SLURM, and neither.

`python -m tests.slurm.overhead [jobs]` runs the same jobs in every way, one after the other, on the same private SLURM,
and prints a table. `snakemake-executor-plugin-slurm` must be installed for its row; while the script runs, it links the
cluster's configuration to /etc/slurm, because that plugin finds it nowhere else in a job.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from tests.slurm.cluster import CPUS, Cluster

SNAKEFILE = """\
rule all:
    input: expand("out/{{number}}", number=range({jobs}))
    localrule: True
rule short:
    output: "out/{{number}}"
    threads: 1
    resources: mem_mb=500, runtime=10
    shell: "touch {{output}}"
"""
SYSTEM_LINK = Path("/etc/slurm/slurm.conf")
REMOTE = ("--jobs", "1000", "--seconds-between-status-checks", "1", "--max-jobs-per-timespan", "1000/1s")
# Both plugins submit arrays and look at their jobs every second. Larger arrays of the other plugin (2.8.0) do not fit
# into one argument of sbatch, and its way around that runs the first job in place of all.
WAYS = {
    "submitit": ("--executor", "submitit", *REMOTE),
    "slurm": (
        *("--executor", "slurm", *REMOTE, "--slurm-array-jobs", "all", "--slurm-array-limit", "50"),
        *(
            "--slurm-init-seconds-before-status-checks",
            "1",
            "--default-resources",
            "slurm_partition=low",
            "--slurm-no-account",
        ),
    ),
    "none": ("--cores", str(CPUS)),
}


@contextmanager
def system_link(cluster: Cluster) -> Iterator[None]:
    """Make the cluster the system's SLURM; a `FileExistsError` says that there is one already."""
    SYSTEM_LINK.parent.mkdir(exist_ok=True)
    SYSTEM_LINK.symlink_to(cluster.folder / "slurm.conf")
    try:
        yield
    finally:
        SYSTEM_LINK.unlink()


def measure(cluster: Cluster, options: tuple[str, ...], jobs: int) -> dict[str, float]:
    """Run the jobs in one way; return seconds in all and per job, and of CPU per job: here, and in jobs of SLURM."""
    accounted = used_cpu_s(cluster)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs))
        command = [sys.executable, "-m", "snakemake", "--quiet", "all", *options]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, cwd=folder, env=cluster.environment, capture_output=True, text=True)
        seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode or len(list((Path(folder) / "out").glob("*"))) != jobs:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    submitter = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    values = {"wall_s": seconds, "cpu_here_s": submitter, "cpu_in_jobs_s": used_cpu_s(cluster) - accounted}
    return {"total_s": seconds, **{name: value / jobs for name, value in values.items()}}


def used_cpu_s(cluster: Cluster) -> float:
    """Return the seconds of CPU that SLURM accounted for, in all jobs so far."""
    rows = [line.split("|") for line in cluster.run("sacct", "-n", "-P", "-o", "JobID,TotalCPU").splitlines()]
    times = [time for name, time in rows if "." in name]  # a job's steps
    parts = [map(float, reversed(time.replace("-", ":").split(":"))) for time in times]
    return sum(value * unit for part in parts for value, unit in zip(part, (1, 60, 3600, 86400), strict=False))


def compare(jobs: int) -> pd.DataFrame:
    """Return one row for each way that is installed."""
    rows = []
    with Cluster() as cluster, system_link(cluster):
        for way, options in WAYS.items():
            if way == "none" or find_spec(f"snakemake_executor_plugin_{way}"):
                rows.append({"plugin": way, **measure(cluster, options, jobs)})
                print(rows[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", type=int, nargs="?", default=200)
    jobs = parser.parse_args().jobs
    print(f"{jobs} jobs on {CPUS} pretended and {os.cpu_count()} real cores; seconds in all, then for one job")
    print(compare(jobs).to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
