"""Model files: weights with the specification that rebuilds the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from awnlib.jobs.checkpoint import FOREIGN, CheckpointError, load_tensors, save_tensors
from awnlib.models import SlimmableModel, create_model


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
        raise CheckpointError(f"{path} holds no model: it {FOREIGN}")
    try:
        model = create_model(**metadata.pop("spec"))
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit its own description: {error}") from None
    return model.eval(), metadata
