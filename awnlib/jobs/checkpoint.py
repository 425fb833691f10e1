"""Model files and resume points: safetensors with JSON metadata, written atomically, no pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from awnlib.files import atomic_path, why_unreadable

PICKLES = (b"PK\x03\x04", b"\x80")  # what a zip archive and a bare pickle begin with
FOREIGN = (
    "is none of awnlib's. Build its network with awnlib.models.create_model and give it the tensors with "
    "load_state_dict, those of torchvision's networks with awnlib.models.load_torchvision_weights; save_model then "
    "writes a file that load_model reads"
)


class CheckpointError(ValueError):
    """A file that is missing, damaged or not one of ours."""


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and JSON-able metadata to one safetensors file."""
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, texts)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, cannot be read, is damaged, or was written by something else.
    """
    start = _first_bytes(Path(path))
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if start.startswith(PICKLES):
            raise CheckpointError(
                f"{path} is a pickle, as torch.save writes it (torch.load reads it), and {FOREIGN}"
            ) from None
        raise CheckpointError(f"{path} is damaged ({error}); delete it and run again") from None
    try:
        return tensors, {key: json.loads(value) for key, value in texts.items()}
    except json.JSONDecodeError:
        raise CheckpointError(f"{path} holds tensors (safetensors.torch.load_file reads them) but {FOREIGN}") from None


def _first_bytes(path: Path) -> bytes:
    """Return what a file begins with; raise a `CheckpointError` that says why if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise CheckpointError(why_unreadable(path, error)) from None
