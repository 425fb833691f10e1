"""Networks of selectable width, by name: each model is one file of this package, named after it.

A model file ``awnlib/models/<name>.py`` defines ``build(family, options) -> SlimmableModel``; adding a file adds
the model. Listing the names imports neither torch nor the models.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awnlib.models._base import SlimmableModel

__all__ = ["create_model", "model_names"]


def model_names() -> list[str]:
    """Return the names that ``create_model`` knows."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
