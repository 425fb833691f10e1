"""Names and values of a package, read from its files: names are imported on first use, values not at all.

A package lists them once, as imports for type checkers::

    if TYPE_CHECKING:
        from awnlib.channels import Channels as Channels

    NAMES = names_for_types(__file__)
    __getattr__ = lazy_names(__name__, NAMES)
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any


def names_for_types(file: str) -> dict[str, str]:
    """Return what a file imports under `if TYPE_CHECKING:`, as the module of each name."""
    blocks = [node for node in ast.parse(Path(file).read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package that takes names from their modules.

    Parameters
    ----------
    package
        The package's `__name__`.
    modules
        For each name the module that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in modules:
            raise AttributeError(f"module {package} has no attribute {name}")
        return getattr(import_module(modules[name]), name)

    return __getattr__


def read_literal(path: Path, name: str) -> Any:
    """Return the value of a name that a Python file gives a literal, without importing the file; None if it does not.

    Raises
    ------
    ValueError
        If the value is no literal.
    """
    value = read_assigned(path, name)
    if value is None:
        return None
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise ValueError(f"{path}: {name} must be a literal, such as a text or a tuple of texts") from None


def read_assigned(path: Path, name: str) -> ast.expr | None:
    """Return the expression that a Python file gives a name last, without importing the file; None if it does not."""
    values = [
        statement.value
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _assigned(statement) == [name]
    ]
    return values[-1] if values else None


def _assigned(statement: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
    return [getattr(target, "id", "") for target in targets]
