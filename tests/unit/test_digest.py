"""The digest of code changes with what the code does, and with nothing else."""

import pytest

from awnlib import digest
from awnlib.digest import code_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of four modules in place of awnlib: a imports b, b imports the package c and the settings."""
    write(tmp_path, "a", '"""Words."""\nfrom awnlib.b import f\n\n\ndef g():\n    """Say."""\n    return f()  # why\n')
    write(tmp_path, "b", "def f():\n    from awnlib import c, config\n    return c.h(config)\n")
    write(tmp_path, "c/__init__", "from awnlib.c.d import h\n")
    write(tmp_path, "c/d", "def h(x): return x\n")
    write(tmp_path, "config", "x = 1\n")
    write(tmp_path, "unused", "x = 1\n")
    monkeypatch.setattr(digest, "PACKAGE", tmp_path)
    digest._parse.cache_clear()
    yield tmp_path
    digest._parse.cache_clear()


def write(folder, name, text):
    path = folder / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    digest._parse.cache_clear()


def test_layout_comments_and_docstrings_do_not_count(package):
    before = code_digest("a")
    write(package, "a", "from awnlib.b import f\n# other\ndef g():\n    '''Other.'''\n    return (f())\n")
    assert code_digest("a") == before


@pytest.mark.parametrize("module", ["a", "b", "c/__init__", "c/d"])
def test_each_module_that_is_used_counts(package, module):
    before = code_digest("a")
    path = package / f"{module}.py"
    write(package, module, path.read_text() + "y = 2\n")
    assert code_digest("a") != before


@pytest.mark.parametrize("module", ["config", "unused"])
def test_settings_and_strangers_do_not_count(package, module):
    before = code_digest("a")
    write(package, module, "x = 2\n")
    assert code_digest("a") == before


def test_one_constant_counts(package):
    before = code_digest("a")
    write(package, "c/d", "def h(x): return x + 0\n")
    zero = code_digest("a")
    write(package, "c/d", "def h(x): return x + 1\n")
    assert len({before, zero, code_digest("a")}) == 3


def test_several_modules_in_any_order(package):
    assert code_digest("a", "unused") == code_digest("unused", "a") != code_digest("a")


def test_unknown_module():
    with pytest.raises(ValueError, match="awnlib has no module 'train_er'"):
        code_digest("train_er")


@pytest.mark.parametrize("module", ["cost", "tables", "figures", "report", "schemas", "columns", "collect"])
def test_drawing_and_counting_train_nothing(module, monkeypatch):
    """A change to these must leave the digest of the training alone: nothing of the training uses them.

    `stages` writes parquet files through `schemas`, which is why the digest of the engine is looked at.
    """
    before = code_digest("train", "models.lenet_3c1l")
    parse = digest._parse
    other = parse("objectives")
    monkeypatch.setattr(digest, "_parse", lambda name: other if name == module else parse(name))
    assert code_digest("train", "models.lenet_3c1l") == before


@pytest.mark.parametrize("module", ["train", "objectives", "one_pass", "layers.conv", "channels", "data.batches"])
def test_what_the_training_uses_counts(module, monkeypatch):
    before = code_digest("train", "models.lenet_3c1l")
    parse = digest._parse
    other = parse("provenance")
    monkeypatch.setattr(digest, "_parse", lambda name: other if name == module else parse(name))
    assert code_digest("train", "models.lenet_3c1l") != before
