"""Digests leave out settings at their first default: a new field makes nothing stale, a changed default does."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import Field
from pydantic_core import PydanticUndefined, to_jsonable_python

import awnlib
from awnlib.settings import Settings

FILE = Path(__file__).parents[1] / "data" / "first_defaults.json"


class Inner(Settings):
    depth: int = 1
    words: list[str] = Field(default_factory=lambda: ["a"])


class Outer(Settings):
    FIRST_DEFAULTS = {"rate": 0.1}  # noqa: RUF012

    name: str
    rate: float = 0.2
    inner: Inner = Field(default_factory=Inner)
    several: dict[str, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({}, {"name": "x", "rate": 0.2}),  # the default of today is not the first
        ({"rate": 0.1}, {"name": "x"}),
        ({"rate": 0.3}, {"name": "x", "rate": 0.3}),
        ({"rate": 0.1, "inner": {"depth": 2}}, {"name": "x", "inner": {"depth": 2}}),
        ({"rate": 0.1, "inner": {"depth": 1, "words": ["a"]}}, {"name": "x"}),
        ({"rate": 0.1, "several": {"y": {"words": []}}}, {"name": "x", "several": {"y": {"words": []}}}),
    ],
)
def test_what_is_not_the_first_default_is_chosen(settings, chosen):
    made = Outer.model_validate({"name": "x", **settings})
    assert made.chosen() == chosen
    assert made.chosen({"name"}) == {key: value for key, value in chosen.items() if key != "name"}


def first_defaults():
    """Return the first default of every field that has one, of all classes of settings."""
    for path in Path(awnlib.__file__).parent.rglob("*.py"):
        parts = path.relative_to(Path(awnlib.__file__).parents[1]).with_suffix("").parts
        import_module(".".join(parts).removesuffix(".__init__"))
    found, waiting = {}, [Settings]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        # Options of renderers are compared whole, as they stand in a paper's rows.
        if kind.__module__.startswith("awnlib.") and kind.__name__ != "Options":
            values = {name: kind._first_default(name) for name in kind.model_fields}
            name = kind.__name__ if kind.__name__ != "Settings" else kind.__module__  # a task's own has no other name
            found[name] = {
                name: to_jsonable_python(value) for name, value in values.items() if value is not PydanticUndefined
            }
    return found


def test_first_defaults_stay():
    """What changes a default says in FIRST_DEFAULTS what it was. A new field is added to the file."""
    stored, found = json.loads(FILE.read_text(encoding="utf-8")), first_defaults()
    for kind, fields in found.items():
        for name, value in fields.items():
            assert name in stored.get(kind, {}), f"add the default of {kind}.{name} to {FILE.name}"
            assert value == stored[kind][name], f"{kind}.{name}: name the first default in {kind}.FIRST_DEFAULTS"
