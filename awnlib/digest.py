"""Digests of the code behind a result, so that a workflow can tell when a result is out of date."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# What these modules say reaches a job as its settings, which are compared on their own.
SETTINGS_ONLY = {
    "__init__",
    "config",
    "digest",
    "files",
    "methods",
    "names",
    "provenance",
    "records",
    "settings",
    "study",
}


def code_digest(*modules: str) -> str:
    """Return a digest of modules of this package and of all that they import from it.

    Comments, docstrings and layout do not count, and neither do modules that only define settings.

    Parameters
    ----------
    modules
        Names below `awnlib`, such as "train" or "models.lenet_3c1l".

    Raises
    ------
    ValueError
        If there is no such module.
    """
    found: dict[str, ast.Module] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in SETTINGS_ONLY:
            found[name] = _parse(name)
            waiting += [imported for imported in _imports(found[name]) if _path(imported) is not None]
    texts = [f"{name}\n{ast.dump(tree)}" for name, tree in sorted(found.items())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _path(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.exists()), None)


@lru_cache(maxsize=256)
def _parse(name: str) -> ast.Module:
    path = _path(name)
    if path is None:
        raise ValueError(f"awnlib has no module '{name}'")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _imports(tree: ast.Module) -> list[str]:
    """Return the modules of this package that a module imports, wherever the import stands."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "awnlib":
            base = node.module.removeprefix("awnlib").removeprefix(".")
            names += [base, *(f"{base}.{alias.name}".removeprefix(".") for alias in node.names)]
    return [name for name in names if name]
