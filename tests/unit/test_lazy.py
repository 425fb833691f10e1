"""Values that are read from a file's text: literals, and nothing that would have to be run."""

import pytest

from awnlib.lazy import read_literal

FILE = '''
"""A file that nobody may import."""
raise SystemExit

TITLE = "one"
NEEDS = ("runs", "sweep")
SIZES = {"a": [1, -2.5], "b": None}
TITLE = "two"
MADE = tuple("ab")
SUM = 1 + TITLE
LEFT, RIGHT = 1, 2
typed: int = 3


def inside():
    HIDDEN = 4
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [("NEEDS", ("runs", "sweep")), ("SIZES", {"a": [1, -2.5], "b": None}), ("typed", 3), ("TITLE", "two")],
)
def test_a_literal_is_its_value_as_an_import_would_give_it(file, name, value):
    assert read_literal(file, name) == value


@pytest.mark.parametrize("name", ["absent", "HIDDEN", "LEFT", "inside"])
def test_a_name_that_has_no_value_of_its_own_is_none(file, name):
    assert read_literal(file, name) is None


@pytest.mark.parametrize("name", ["MADE", "SUM"])
def test_what_would_have_to_be_run_is_refused_by_file_and_name(file, name):
    with pytest.raises(ValueError, match=rf"a\.py: {name} must be a literal"):
        read_literal(file, name)
