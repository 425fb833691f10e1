"""Digests of the code behind a result, so that a workflow can tell when a result is out of date.

What counts is found in the syntax trees alone, definition by definition: a function, the names in its body, what those
stand for in this package, and so on. Nothing is imported.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeGuard

PACKAGE = Path(__file__).parents[1]
WORDS = ("title", "axis_label")  # of a `Metric`, for readers
TITLE = "TITLE"  # what a model's or data set's file says that readers call it
ALWAYS = ""  # the name of what a module does when it is imported, besides defining names


def code_digest(
    *roots: str, values: Collection[str] = (), settings: Collection[str] = (), leave_out: Collection[str] = ()
) -> str:
    """Return a digest of definitions of this package and of everything in it that they reach.

    Comments, docstrings, layout, annotations of functions, what is printed, the words of errors and metrics, and the
    titles of modules do not count. Files of the package that are no code (templates, tables) count where a definition,
    or another such file, names them.

    Parameters
    ----------
    roots
        Definitions or whole modules below `awnlib`, such as "train.train" or "models.lenet_3c1l".
    values
        Modules whose classes, and files whose rows, reach a job as values, which are compared on their own: they do not
        count.
    settings
        The same, but methods and properties of these classes count where one of that name is read; modules that need
        not be there.
    leave_out
        Modules that do not count at all, but for those of the roots.

    Raises
    ------
    ValueError
        If there is no such module or definition.
    """
    places = [_place(root) for root in roots]
    reach = _Reach(frozenset(values), frozenset(settings), frozenset(leave_out) - {module for module, _ in places})
    for module, names in places:
        for name in names:
            reach.add(module, name)
    texts = [f"{place}: {text}" for place, text in sorted(reach.found.items())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Module:
    """The statements of a module by the names that they define, its classes' methods, and what its imports bind."""

    statements: dict[str, list[ast.stmt]]
    classes: set[str]
    methods: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str]]

    @property
    def names(self) -> list[str]:
        return [name for name in (*self.statements, *self.imports) if name != TITLE]


class _Definition:
    """What some statements say, but for what changes no result, and what they refer to."""

    def __init__(self, statements: Iterable[ast.stmt]) -> None:
        bare = [node for statement in statements if (node := _Bare().visit(statement)) is not None]
        self.text = "".join(map(ast.dump, bare))
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()  # (owner, name) of `owner.name`; owner "" if it has no name
        self.imports: set[tuple[str, str]] = set()  # (module, name), of this package
        self.strings: set[str] = set()
        for node in bare:
            self._look_at(node)

    def _look_at(self, node: ast.AST) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                self.attributes.add((owner, name))
                return  # the owner may be a module, of which this name alone is meant
            case ast.Attribute(attr=name):
                self.attributes.add(("", name))
            case ast.Name(id=name):
                self.names.add(name)
            case ast.ImportFrom():
                self.imports.update(_imports(node).values())
            case ast.Constant(value=str(text)):
                self.strings.add(text)
        for part in ast.iter_child_nodes(node):
            self._look_at(part)


class _Reach:
    """What the roots reach: the code by its place."""

    def __init__(self, values: frozenset[str], settings: frozenset[str], leave_out: frozenset[str]) -> None:
        self.settings, self.values, self.leave_out = settings, values | settings, leave_out
        self.found: dict[str, str] = {}
        self.files: dict[str, list[Path]] = defaultdict(list)  # each paper may have one of the same name
        for path in sorted(PACKAGE.rglob("*.*")):
            if path.suffix not in (".py", ".pyc"):
                self.files[path.name].append(path)

    def _add_module(self, module: str) -> None:
        for name in _parse(module).names:
            self.add(module, name)

    def add(self, module: str, name: str) -> None:
        """Add what a name of a module stands for, wherever it is defined."""
        if module in self.leave_out:
            return
        parsed = _parse(module)
        if name in parsed.imports:
            self._add_import(*parsed.imports[name])
        elif name in parsed.statements and not (module in self.values and name in parsed.classes):
            self._add_definition(module, f"{module}.{name}", _definition(module, name))
            if name != ALWAYS:
                self.add(module, ALWAYS)

    def _add_import(self, module: str, name: str) -> None:
        """Add a definition of another module, or a whole module."""
        whole = f"{module}.{name}".removeprefix(".")
        if _path(whole) is not None:
            self._add_module(whole)
        elif _path(module) is not None:
            self.add(module, name)

    def _add_definition(self, module: str, place: str, definition: _Definition) -> None:
        if place in self.found:
            return
        self.found[place] = definition.text
        for name in definition.names:
            self.add(module, name)
        for source in definition.imports:
            self._add_import(*source)
        for owner, name in definition.attributes:
            self._add_attribute(module, owner, name)
        for text in definition.strings & self.files.keys() - self.values:
            self._add_file(text)

    def _add_attribute(self, module: str, owner: str, name: str) -> None:
        """Add what `owner.name` may be: a definition of an imported module, or a method of settings."""
        bound = ".".join(_parse(module).imports.get(owner, ())).removeprefix(".")
        if bound and _path(bound) is not None:
            self._add_import(bound, name)
        elif owner:
            self.add(module, owner)
        for kind in self.settings:
            if _path(kind) is not None and name in _parse(kind).methods:
                self._add_definition(kind, f"{kind}.*.{name}", _method(kind, name))

    def _add_file(self, name: str) -> None:
        """Add a file that is no code, and those that it names."""
        if name not in self.found:
            content = b"".join(path.read_bytes() for path in self.files[name])
            self.found[name] = hashlib.sha256(content).hexdigest()
            for other in self.files:
                if other.encode() in content:
                    self._add_file(other)


def _place(root: str) -> tuple[str, list[str]]:
    """Return the module that a root names, and which of its names."""
    module, _, name = root.rpartition(".")
    if _path(root) is not None:
        return root, _parse(root).names
    if _path(module) is None or name not in _parse(module).names:
        raise ValueError(f"awnlib has no module or definition '{root}'")
    return module, [name]


def _path(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if name and path.exists()), None)


@lru_cache(maxsize=256)
def _parse(name: str) -> _Module:
    path = _path(name)
    assert path is not None
    module = _Module(defaultdict(list), set(), defaultdict(list), {})
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ClassDef):
            module.classes.add(statement.name)
            for method in filter(_is_method, statement.body):
                module.methods[method.name].append(method)
        elif not isinstance(statement, ast.FunctionDef):
            for part in ast.walk(statement):
                module.imports.update(_imports(part))
        for bound in _bound(statement):
            module.statements[bound].append(statement)
    return module


@cache
def _definition(module: str, name: str) -> _Definition:
    return _Definition(_parse(module).statements[name])


@cache
def _method(module: str, name: str) -> _Definition:
    return _Definition(_parse(module).methods[name])


def _is_method(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    """Whether a statement of a class defines a method or property, and no validator of its fields."""
    return isinstance(node, ast.FunctionDef) and not any("validator" in ast.dump(one) for one in node.decorator_list)


def _bound(statement: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines, or `ALWAYS`; none for imports of this package."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            bound = [alias.asname or alias.name.partition(".")[0] for alias in names]
            return [name for name in bound if name not in _imports(statement)]
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return []  # what a package offers lazily counts where it is named
    stored = [part for part in ast.walk(statement) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
    return [name.id for name in stored] or [ALWAYS]


def _imports(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Return what an import binds of this package: (module, name) by the bound name."""
    if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("awnlib"):
        return {}
    module = str(node.module).removeprefix("awnlib").removeprefix(".")
    return {alias.asname or alias.name: (module, alias.name) for alias in node.names}


class _Bare(ast.NodeTransformer):
    """Takes away what changes no result."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        for part in ast.walk(node.args):
            if isinstance(part, ast.arg):
                part.annotation = None
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "Metric":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in WORDS]
        self.generic_visit(node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        match node.value:
            case ast.Constant() | ast.Call(func=ast.Name(id="print")):
                return None
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc, node.cause = node.exc.func, None
        return node
