"""Model files and resume points: safetensors with JSON metadata, written atomically, no pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from awnlib.files import atomic_path
from awnlib.models import SlimmableModel, create_model


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
        If the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete it and run again") from None


def save_model(path: str | Path, model: SlimmableModel, **metadata: Any) -> None:
    """Write a model's weights, statistics and specification, so that `load_model` can rebuild it."""
    save_tensors(path, model.state_dict(), {"spec": model.spec.model_dump(), **metadata})


def load_model(path: str | Path) -> tuple[SlimmableModel, dict[str, Any]]:
    """Rebuild a model from its file, at full width and in evaluation mode.

    Returns
    -------
    model, metadata
        The model and what else `save_model` was given.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or holds no model.
    """
    tensors, metadata = load_tensors(path)
    if "spec" not in metadata:
        raise CheckpointError(f"{path} holds no model")
    model = create_model(**metadata.pop("spec"))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its own description: {error}") from None
    return model.eval(), metadata
