"""The digest of code changes with what the code does, and with nothing else."""

import pytest

from awnlib.jobs import digest
from awnlib.jobs.digest import code_digest

FILES = {
    "a.py": '''
"""Words."""
import os
from awnlib import e
from awnlib.b import f
from awnlib.c import h as other
LIMIT = 3

def g(x: int) -> int:
    """Say."""
    if x > LIMIT:
        raise ValueError(f"too much: {x}")  # why
    print("so far")
    return f() + e.used(x)

def beside():
    return other()
''',
    "b.py": "def f():\n    from awnlib import c\n    return c.h(Settings(1).double)\nunused = 1\n",
    "c/__init__.py": "from awnlib.c.d import h\n",
    "c/d.py": "def h(x): return open('rows.csv'), x\n",
    "e.py": "import torch\nTABLE = {}\ntorch.flag = 1\ndef used(x): return TABLE[x]\ndef unused(): return 1\n",
    "options.py": """
class Settings:
    value: int = 1

    @property
    def double(self):
        return 2 * self.value

    @property
    def triple(self):
        return 3 * self.value

    @field_validator("value")
    def double(self):
        return 4
""",
    "logs.py": "def line(): return 1\n",
    "rows.csv": "1,2\nsee.txt\n",
    "see.txt": "3\n",
    "other.txt": "4\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in place of awnlib: a imports b, e and logs; b imports the package c and reads settings."""
    monkeypatch.setattr(digest, "PACKAGE", tmp_path)
    (tmp_path / "c").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    forget()
    yield tmp_path
    forget()


def forget():
    for function in (digest._parse, digest._definition, digest._method):
        function.cache_clear()


def digest_of(package, *roots, **changes):
    """Return the digest after replacing text in a file: `a="old -> new"`."""
    for name, change in changes.items():
        (file,) = package.rglob(f"{name}.*")
        old, new = change.split(" -> ")
        assert old in FILES[file.relative_to(package).as_posix()]
        file.write_text(FILES[file.relative_to(package).as_posix()].replace(old, new))
    forget()
    return code_digest(*roots, values={"values"}, settings={"options"}, leave_out={"logs"})


@pytest.mark.parametrize(
    "change",
    [
        {"a": "Words. -> Other words."},
        {"a": "Say. -> Tell."},
        {"a": "# why -> # because"},
        {"a": "x > LIMIT -> (x > LIMIT)"},
        {"a": "x: int -> x: float"},
        {"a": "too much -> too many"},
        {"a": "so far -> so good"},
        {"a": "return other() -> return other() + 1"},
        {"a": "LIMIT = 3 -> LIMIT = 3; MORE = 4"},
        {"b": "unused = 1 -> unused = 2"},
        {"e": "def unused(): return 1 -> def unused(): return 2"},
        {"options": "3 * -> 4 *"},
        {"options": "return 4 -> return 5"},
        {"options": "value: int = 1 -> value: int = 1; more: int = 2"},
        {"logs": "return 1 -> return 2"},
        {"other": "4 -> 5"},
    ],
    ids=str,
)
def test_what_changes_no_result_does_not_count(package, change):
    before = digest_of(package, "a.g")
    assert digest_of(package, "a.g", **change) == before


@pytest.mark.parametrize(
    "change",
    [
        {"a": "x > LIMIT -> x >= LIMIT"},
        {"a": "LIMIT = 3 -> LIMIT = 4"},
        {"a": "ValueError -> TypeError"},
        {"a": "e.used -> e.unused"},
        {"b": "c.h( -> c.h(1 + "},
        {"d": "def h(x): return -> def h(x): return 1 and"},
        {"e": "torch.flag = 1 -> torch.flag = 2"},
        {"e": "TABLE = {} -> TABLE = {1: 2}"},
        {"e": "import torch -> import numpy as torch"},
        {"options": "2 * -> 4 *"},
        {"rows": "1,2 -> 1,3"},
        {"see": "3 -> 4"},
    ],
    ids=str,
)
def test_what_changes_results_counts(package, change):
    before = digest_of(package, "a.g")
    assert digest_of(package, "a.g", **change) != before


def test_a_whole_module(package):
    before = digest_of(package, "a")
    assert digest_of(package, "a", a="return other() -> return other() + 1") != before


def test_a_module_that_is_left_out_counts_as_a_root(package):
    before = digest_of(package, "logs.line")
    assert digest_of(package, "logs.line", logs="return 1 -> return 2") != before


def test_several_roots_in_any_order(package):
    assert digest_of(package, "a", "logs") == digest_of(package, "logs", "a") != digest_of(package, "a")


@pytest.mark.parametrize("root", ["train_er", "a.gg", "a.g.h", ""])
def test_unknown_root(package, root):
    with pytest.raises(ValueError, match=f"awnlib has no module or definition '{root}'"):
        digest_of(package, root)
