"""A small study in a folder of its own, the command that makes it, and what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from awnlib.jobs.checkpoint import load_tensors
from awnlib.jobs.records import read_record, recorded_file
from awnlib.results.columns import COLLECTED
from awnlib.results.schemas import read_table
from tests.workflow.conftest import TABLE, create_workflow, small_study

REPOSITORY = Path(__file__).parents[2]
SITE = Path(__file__).parent / "site"
METHODS = ("awn", "shared_bn")
NUM_STEPS = 40  # of each training
MEASURED = [f"{stage}_time_s" for stage in ("train", "sweep", "recalibration")] + ["resumed"]
NAME = "tiny"
TRAINED = tuple(f"results/{NAME}/runs/digits/lenet_3c1l/{method}/seed0/record.json" for method in METHODS)


@dataclass
class Study:
    """A copy of the workflow with a study of two trainings, on any cluster.

    Attributes
    ----------
    folder
        The copy.
    options
        What the command has besides the study: profile, cluster.
    environment
        In which it runs, such as a `Cluster`'s.
    step_s
        How long each training step pauses, so that there is time to interrupt a training.
    """

    folder: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    step_s: float = 0.0

    def __post_init__(self) -> None:
        self.workflow = create_workflow(REPOSITORY, self.folder)
        settings = {
            "train": {"num_epochs": NUM_STEPS // 2, "batch_size": 50, "lr": 0.05},
            "track": {"num_points": 2},
            "device": "cpu",
        }
        self.workflow.configure(small_study(NAME, *METHODS, **settings))
        self.results, self.trace = self.workflow.results(NAME), self.folder / "trace"
        self.trace.mkdir()
        self.log = self.folder / "snakemake.out"
        self.started: list[subprocess.Popen[bytes]] = []
        path = [str(SITE), str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        traced = {"AWN_TRACE": str(self.trace), "AWN_STEP_S": str(self.step_s), "PYTHONPATH": os.pathsep.join(path)}
        self.environment = {**self.environment, **traced, "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command in a process group of its own, as a shell does."""
        command = [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", *self.options, *arguments]
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """End every command that still runs, and what it started on this machine."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def make(self, *arguments: str, seconds: float = 300) -> int:
        """Run the command to its end; return its exit code."""
        process = self.start(*arguments)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not finished after {seconds} s:\n{self.output()}") from None

    def output(self) -> str:
        """All that Snakemake printed; of a long text the end."""
        return self.log.read_text(errors="replace")[-6000:]

    def events(self) -> dict[str, list[dict[str, object]]]:
        """What each training told, in order."""
        files = sorted(self.trace.glob("*.jsonl"))
        return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}

    def processes(self) -> list[int]:
        """Processes that work in the study's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if path.readlink().is_relative_to(self.folder):
                    found.append(int(path.parent.name))
            except OSError:  # over meanwhile
                continue
        return found

    def corrupt(self) -> list[str]:
        """Files that are there but damaged: records, what records name, and resume points."""
        damaged = []
        for path in self.results.rglob("record.json"):
            try:
                for name in read_record(path).files:
                    recorded_file(path, name)
            except ValueError as error:
                damaged.append(str(error))
        for path in (self.results / "checkpoints").rglob("*.safetensors"):
            try:
                load_tensors(path)
            except ValueError as error:
                damaged.append(f"{error}" if path.exists() else "")
        return [text for text in damaged if text]

    def weights(self) -> dict[str, tuple[dict[str, bytes], dict[str, object]]]:
        """Every file of weights by its name: the bits of its tensors, and what it says of itself."""
        content = {}
        for file in sorted(self.results.rglob("model.safetensors")):
            tensors, metadata = load_tensors(file)
            bits = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
            content[str(file.relative_to(self.results))] = (bits, metadata)
        return content

    def tables(self) -> dict[str, str]:
        """Every table as text, without what is measured by the clock."""
        names = [*COLLECTED, TABLE]
        frames = {name: read_table(self.results / "tables" / f"{name}.parquet") for name in names}
        return {name: frame.drop(columns=MEASURED, errors="ignore").to_csv() for name, frame in frames.items()}


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something; raise an AssertionError if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: waited in vain for {seconds} s"
        time.sleep(0.1)
