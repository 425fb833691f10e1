"""Doing a job: where it works, and the record of what became of it, whatever the stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from awnlib.data import DataSet, ImagePairs, load_dataset
from awnlib.jobs.provenance import provenance
from awnlib.jobs.records import Record, run_job
from awnlib.studies.job import AnyJob


@dataclass(frozen=True)
class Workplace:
    """What the function of a job is given besides the job. It leaves files in the folder and returns measured values.

    Attributes
    ----------
    folder
        Where to leave files, beside the record.
    data
        The prepared images; None for a task that has no data set.
    needs
        The records of the jobs that it builds on, by what they are to it.
    checkpoint
        The file for its resume point. It stays when the job ends, so that one that is killed after its last step and
        started again does nothing twice.
    device
        Where to compute.
    origin
        The provenance of the tables that it writes.
    """

    folder: Path
    data: Path | None
    needs: Mapping[str, Path]
    checkpoint: Path
    device: torch.device
    origin: Mapping[str, str]

    def images(self) -> DataSet:
        """Return the prepared images, with labels, of a task that has them."""
        assert self.data is not None
        data = load_dataset(self.data)
        assert not isinstance(data, ImagePairs)  # the configuration refuses them
        return data


def do_job(job: AnyJob, results: Path, *, data: Path | None = None) -> Record:
    """Do a job of a study; leave its files and, whatever happens, its record (`awnlib.jobs.records.run_job`).

    Parameters
    ----------
    job
        Its record and resume point, and the records that it needs, are below `results`.
    results
        The folder of the study's results.
    data
        The file of the prepared images; None: among the results.

    Raises
    ------
    ValueError
        If the study's device is not there.
    """
    device, record = choose_device(job.device), results / job.record
    place = Workplace(
        folder=record.parent,
        data=data or (results / job.data if job.images else None),
        needs={role: results / need.record for role, need in job.needs.items()},
        checkpoint=results / job.checkpoint,
        device=device,
        origin=job_provenance(job.study.study, device),
    )
    module, _, name = job.function.rpartition(".")
    function = getattr(import_module(f"awnlib.{module}"), name)

    def work(_: Path) -> Mapping[str, Any]:
        measured: Mapping[str, Any] = function(job, place)
        return measured

    needs = list(place.needs.values())
    return run_job(record, job.stage, work, cell=job.about, needs=needs, provenance=place.origin)


def choose_device(name: str) -> torch.device:
    """Return the device that "auto", "cpu" or "cuda" means here; raise a ValueError if there is no CUDA device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but torch sees no CUDA device (allowed here: auto, cpu)")
    return torch.device(name)


def job_provenance(study: str, device: torch.device) -> dict[str, str]:
    """Return where the results of a job come from: software, machine, device, threads and the study's name."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return provenance(study=study, device=name, threads=str(torch.get_num_threads()))
