"""Work that may be interrupted between two steps and goes on to the same bits: what a training and a search share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from awnlib.jobs.checkpoint import CheckpointError, load_tensors, save_tensors
from awnlib.jobs.code import job_code
from awnlib.jobs.distributed import rank
from awnlib.jobs.interrupt import sigterm_noticed, stop
from awnlib.jobs.progress import Progress
from awnlib.jobs.records import DivergedError

CHECK_EVERY = 20  # steps between two looks at the loss: each look waits for the device
SLOTS = {"momentum_buffer": "momentum", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "updates"}
"""What SGD and Adam keep for each weight, with the names that a resume point has for it."""
Parts = Iterator[tuple[int, bool]]  # steps taken so far, and whether the state was looked at


def run_resumable(parts: Parts, save: Callable[[], None] | None, every_s: float, title: str) -> None:
    """Do work in parts, and save its state every `every_s` seconds, on SIGTERM and at the end.

    `parts` does the work and yields wherever it may be interrupted. Time alone saves only a state that was looked at;
    what follows the last part is done again if that part was saved. `save` is None for work that leaves nothing. After
    SIGTERM a SystemExit with status 143 is raised.
    """
    saved, saved_at = False, time.monotonic()
    with sigterm_noticed() as terminated:
        for step, looked_at in parts:
            saved = terminated.is_set() or (looked_at and time.monotonic() - saved_at >= every_s)
            if saved and save is not None:
                save()
                saved_at = time.monotonic()
            if terminated.is_set():
                stop(title, step)
        if save is not None and not saved:  # the job may yet be killed before its results are accepted
            save()


def look(
    progress: Progress,
    step: int,
    loss: Tensor,
    lr: float,
    tensors: Callable[[], Mapping[str, Tensor]],
    key: str,
    **others: float,
) -> bool:
    """After one step in `CHECK_EVERY` and the last: check that all is finite, show the progress, and return True."""
    if step % CHECK_EVERY and step != progress.total:
        return False
    check_finite({"the loss": loss, **tensors()}, step, key)
    progress.update(step, loss=float(loss), lr=lr, **others)
    return True


def check_finite(tensors: Mapping[str, Tensor], step: int, key: str) -> None:
    """Raise a `DivergedError` that names the first tensor that is not finite, and the setting of the learning rate.

    All tensors are on one device.
    """
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors.values()]).tolist()  # one wait for all
    for (name, tensor), is_finite in zip(tensors.items(), finite, strict=True):
        if not is_finite:
            found = tensor.item() if tensor.ndim == 0 else "not finite"
            raise DivergedError(f"{name} is {found} at iteration {step}: lower the learning rate ({key})")


def training_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return weights and statistics as `model.*`, and under the names of `SLOTS` what the optimiser keeps by now."""
    kept = {
        f"{SLOTS[slot]}.{name}": tensor
        for name, weight in model.named_parameters()
        for slot, tensor in optimizer.state[weight].items()
        if tensor is not None
    }
    return {f"model.{name}": value for name, value in model.state_dict().items()} | kept


def run_identity(images: str, stage: str, model: str, *settings: str, task: str | None = None) -> list[str]:
    """Return all that a run depends on: settings, the digest of its images, code (`job_code`) and torch."""
    return [*settings, images, job_code(stage, model=model, task=task), torch.__version__]


def save_point(path: Path, identity: list[str], tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a resume point of the run with this identity."""
    save_tensors(path, tensors, {"identity": identity, **metadata})


@torch.no_grad()
def load_point(
    path: Path, identity: list[str], model: nn.Module, optimizer: torch.optim.Optimizer, own: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Restore `training_tensors` and the run's own tensors, in place; return metadata and other tensors of the point.

    Without a file, or with one of another run, nothing is restored and None returned; the second is said. A file that
    is damaged or no resume point is a CheckpointError.
    """
    if not path.exists():
        return None
    stored, metadata = load_tensors(path)
    if "identity" not in metadata:
        raise CheckpointError(f"{path} is no resume point; delete it and run again")
    if metadata["identity"] != identity:
        if rank() == 0:
            print(f"{path} is of other settings, images or code: starting anew", file=sys.stderr, flush=True)
        return None
    for name, parameter in model.named_parameters():
        for slot, kept in SLOTS.items():
            if f"{kept}.{name}" in stored:  # one of the weight's shape has its memory layout, a count has neither
                number = slot == "step"
                optimizer.state[parameter][slot] = parameter.new_empty(()) if number else torch.empty_like(parameter)
    for name, tensor in {**training_tensors(model, optimizer), **own}.items():
        tensor.copy_(stored.pop(name))
    return metadata, stored
