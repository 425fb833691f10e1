"""The names that users may rely on: all there, documented, and imported on first use."""

import inspect
import re
import subprocess
import sys

import pytest

import awnlib
from awnlib import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_there_and_documented(name):
    value = getattr(awnlib, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert name in dir(awnlib)


def test_importing_and_listing_imports_no_torch():
    code = "import sys, awnlib; dir(awnlib); awnlib.load_study; awnlib.model_names(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_names_that_are_none_are_attribute_errors():
    with pytest.raises(AttributeError, match="module awnlib has no attribute fit"):
        awnlib.fit  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'fit'"):
        from awnlib import fit  # noqa: F401


def test_examples_of_the_readme_use_public_names_alone(repository):
    blocks = re.findall(r"^```python\n(.*?)^```", (repository / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for line in "".join(blocks).splitlines():
        if "awnlib" in line:
            assert line.startswith("from awnlib import ")
