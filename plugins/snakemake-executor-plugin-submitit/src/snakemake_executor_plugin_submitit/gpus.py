"""Handing out the GPUs of this machine, so that jobs that run at once get different ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from snakemake_interface_common.exceptions import WorkflowError


class Gpus:
    """The GPUs that jobs on this machine may use, and how many jobs use each."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()

    @cached_property
    def names(self) -> list[str]:
        """The GPUs named by CUDA_VISIBLE_DEVICES, or else all that nvidia-smi knows."""
        if "CUDA_VISIBLE_DEVICES" in os.environ:
            return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
        if shutil.which("nvidia-smi") is None:
            return []
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, encoding="utf-8", check=False).stdout.split()

    def take(self, number: int) -> list[str]:
        """Return the `number` GPUs that the fewest jobs use; raise a `WorkflowError` if there are not so many."""
        if number > len(self.names):
            raise WorkflowError(
                f"resource gpu={number}, but this machine has {len(self.names)} "
                f"({', '.join(self.names) or 'none'}; CUDA_VISIBLE_DEVICES names those that jobs may use)"
            )
        taken = sorted(self.names, key=lambda name: self.uses[name])[:number]
        self.uses.update(taken)
        return taken

    def give_back(self, names: Iterable[str]) -> None:
        """Take GPUs back from a job that ended."""
        self.uses.subtract(names)
