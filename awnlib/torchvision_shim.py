"""Importing torchvision where its compiled operators do not fit the installed PyTorch.

``import_torchvision()`` is the one way this project gets at torchvision. A torchvision wheel built for CUDA cannot
load its operators beside a CPU-only PyTorch, and its import then stops at the missing ``torchvision::nms``. Data
sets, transforms and model definitions need none of these operators, so that declaring them, without
implementations, is enough.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declarations: list[torch.library.Library] = []  # a declaration lasts as long as its Library object


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring the operators ``nms`` and ``qnms`` if that is what the import fails on.

    With wheels that match each other this is the plain import.

    Raises
    ------
    ImportError, RuntimeError
        Whatever else the import of torchvision fails with.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _declarations or _MISSING_OPERATOR not in str(error):
            raise
    # Python keeps the submodules of a failed import: import them anew, too.
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
    _declarations.append(library)
