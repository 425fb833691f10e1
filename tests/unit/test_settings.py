"""Messages about settings: the path of the key, what was found, what is allowed, and everything at once."""

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from awnlib.settings import ConfigError, Settings, parse, read_yaml


class Inner(Settings):
    size: int
    rate: float = 0.5


class Outer(Settings):
    name: str
    inner: Inner | None = None
    items: list[Inner] = Field(default_factory=list)
    by_name: dict[str, Inner] = Field(default_factory=dict)


def problems(data, **options):
    with pytest.raises(ConfigError) as caught:
        parse(Outer, data, **options)
    return caught.value.problems


def test_good_data_become_settings_that_cannot_be_changed():
    outer = parse(Outer, {"name": "a", "inner": {"size": 3}})
    assert outer.inner == Inner(size=3, rate=0.5)
    with pytest.raises(ValueError, match="frozen"):
        outer.name = "b"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"naem": 1, "name": "a"}, "naem"),
        ({"name": "a", "inner": {"size": 1, "raet": 1.0}}, "inner.raet"),
        ({"name": "a", "items": [{"size": 1}, {"size": 1, "raet": 1.0}]}, "items.1.raet"),
        ({"name": "a", "by_name": {"x": {"size": 1, "raet": 1.0}}}, "by_name.x.raet"),
    ],
)
def test_unknown_key_has_its_path_the_nearest_key_and_the_allowed_ones(data, path):
    (problem,) = problems(data)
    assert problem.startswith(f"{path}: unknown key; did you mean '{'name' if path == 'naem' else 'rate'}'?")
    assert problem.endswith("(allowed: by_name, inner, items, name)" if path == "naem" else "(allowed: rate, size)")


def test_no_suggestion_when_no_key_is_near():
    assert problems({"name": "a", "zzz": 1}) == ["zzz: unknown key (allowed: by_name, inner, items, name)"]


def test_every_problem_is_listed_with_prefix_and_origin():
    data = {"inner": {"size": "3", "colour": "red"}, "items": [{"size": 1.5}], "extra": 0}
    with pytest.raises(ConfigError) as caught:
        parse(Outer, data, origin="my.yaml", prefix="top")
    paths = {problem.split(":")[0] for problem in caught.value.problems}
    assert paths == {"top.name", "top.inner.size", "top.inner.colour", "top.items.0.size", "top.extra"}
    assert str(caught.value).startswith("my.yaml cannot be used:\n  - top.")
    assert str(caught.value).count("\n  - ") == 5


@pytest.mark.parametrize("text", ["1e-3", "1E5"])
def test_number_that_yaml_reads_as_text_is_explained(text):
    data = yaml.safe_load(f"{{name: a, inner: {{size: 1, rate: {text}}}}}")
    (problem,) = problems(data)
    assert problem.startswith("inner.rate: ")
    assert repr(data["inner"]["rate"]) in problem
    assert "YAML reads this as text: write it unquoted and with a decimal point, such as 1.0e-3" in problem


@pytest.mark.parametrize(("key", "text"), [("size", "3"), ("rate", "0.1"), ("rate", "3")])
def test_number_that_was_quoted_is_explained(key, text):
    """So are numbers in lists and mappings of snakemake's --config: it reads them as text."""
    (problem,) = problems({"name": "a", "inner": {"size": 1, key: text}})
    assert problem.startswith(f"inner.{key}: ")
    assert problem.endswith(
        f"found '{text}' (str); write it without quotes; "
        "numbers in lists and mappings cannot be given with --config, put them in the file"
    )


@pytest.mark.parametrize(("key", "text"), [("rate", "fast"), ("size", "many"), ("size", "1e3"), ("rate", "2020-01-01")])
def test_other_text_gets_no_advice(key, text):
    (problem,) = problems({"name": "a", "inner": {"size": 1, key: text}})
    assert problem.endswith(f"found '{text}' (str)")


@pytest.mark.parametrize("value", [True, 1.0, None, [1]])
def test_types_are_strict(value):
    (problem,) = problems({"name": "a", "inner": {"size": value}})
    assert problem == f"inner.size: input should be a valid integer, found {value!r} ({type(value).__name__})"


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_data_that_are_no_mapping(data):
    (problem,) = problems(data)
    assert type(data).__name__ in problem


def test_read_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb: [x]\n")
    assert read_yaml(path) == {"a": 1, "b": ["x"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "a.yaml does not exist"),
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2\n", "expected a mapping of keys to values, found list"),
        ("", "expected a mapping of keys to values, found NoneType"),
        (b"a: m\xe9\n", "not UTF-8 text"),
        (Path("gone"), "a.yaml is a link to gone, which is not there"),
        (Path("."), "a.yaml is a folder, not a file"),
    ],
)
def test_read_yaml_names_the_file_and_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    if isinstance(text, Path):
        path.symlink_to(text)
    elif text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
