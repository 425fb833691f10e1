"""The base of everything read from YAML: strict types, no unknown keys, and errors a user can act on.

A subclass of ``Settings`` declares fields; ``parse`` turns plain YAML data into it or raises one ``ConfigError``
that lists every problem with the path of its key, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from awnlib.files import why_unreadable

S = TypeVar("S", bound="Settings")


class ConfigError(ValueError):
    """A configuration that cannot be used; `problems` names keys and allowed values, a line each."""

    def __init__(self, problems: list[str], origin: str = "config") -> None:
        self.problems = problems
        super().__init__(f"{origin} cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))


class Settings(BaseModel):
    """Frozen, strictly typed settings that refuse unknown keys.

    Attributes
    ----------
    FIRST_DEFAULTS
        For fields whose default was changed since: the first one, which is what `chosen` leaves out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    FIRST_DEFAULTS: ClassVar[dict[str, Any]] = {}

    def chosen(self, leave_out: Collection[str] = ()) -> dict[str, Any]:
        """Return the settings that are not the first default, as plain data: what digests and resume points compare.

        So a new field makes no finished result stale, whereas a changed default does.
        """
        values = {name: value for name, value in self if name not in leave_out}
        return {name: _plain(value) for name, value in values.items() if value != self._first_default(name)}

    @classmethod
    def _first_default(cls, name: str) -> Any:
        field = cls.model_fields[name]
        return cls.FIRST_DEFAULTS.get(name, field.get_default(call_default_factory=True))


def _plain(value: Any) -> Any:
    """Return a value of a field as plain data, with what was chosen of other settings in it."""
    if isinstance(value, Settings):
        return value.chosen()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def parse(kind: type[S], data: Any, *, origin: str = "config", prefix: str = "") -> S:
    """Validate plain data as settings of one kind.

    Parameters
    ----------
    kind
        The ``Settings`` class.
    data
        What YAML or JSON gave: nested dicts, lists and scalars.
    origin
        The name of the source (a file, say), for the message.
    prefix
        The path of ``data`` inside the source, put before every key.

    Raises
    ------
    ConfigError
        With one line per problem: key path, what is allowed, what was found.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems = [problem for detail in error.errors() for problem in _explain(kind, detail, prefix)]
    raise ConfigError(problems, origin)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping from a file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not UTF-8, is not YAML or holds no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([why_unreadable(path, error)], str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"not UTF-8 text ({error}): save it as UTF-8"], str(path)) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"not valid YAML: {error}"], str(path)) from None
    if not isinstance(data, dict):
        raise ConfigError([f"expected a mapping of keys to values, found {type(data).__name__}"], str(path))
    return data


def _explain(kind: type[Settings], detail: Any, prefix: str) -> list[str]:
    """Return the lines of one pydantic error."""
    path = ".".join([prefix, *map(str, detail["loc"])]).strip(".")
    if detail["type"] == "extra_forbidden":
        allowed = _field_names(kind, detail["loc"][:-1])
        close = difflib.get_close_matches(str(detail["loc"][-1]), allowed, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        return [f"{path}: unknown key{hint} (allowed: {', '.join(sorted(allowed))})"]
    if detail["type"] == "missing":
        return [f"{path}: is required"]
    if detail["type"] == "value_error":
        cause = detail["ctx"]["error"]
        return cause.problems if isinstance(cause, ConfigError) else [f"{path}: {cause}".removeprefix(": ")]
    found = detail["input"]
    message = f"{path}: {detail['msg'][0].lower()}{detail['msg'][1:]}, found {found!r} ({type(found).__name__})"
    if isinstance(found, str) and detail["type"] in ("int_type", "float_type"):
        message += _number_hint(found, detail["type"])
    return [message.replace(".[key]: ", ": as a key, ")]


def _number_hint(text: str, wanted: str) -> str:
    """Return how to write a number that came as text: it was quoted, in a list of `--config`, or is none to YAML."""
    try:
        float(text)
    except ValueError:
        return ""
    if not isinstance(yaml.safe_load(text), str):
        advice = "numbers in lists and mappings cannot be given with --config, put them in the file"
        return f"; write it without quotes; {advice}"
    if wanted == "float_type":
        return "; YAML reads this as text: write it unquoted and with a decimal point, such as 1.0e-3"
    return ""


def _field_names(kind: Any, location: tuple[str | int, ...]) -> list[str]:
    """Return the keys allowed at a location inside ``kind``: unwrap optionals, lists and dicts on the way."""
    for part in location:
        if isinstance(kind, type) and issubclass(kind, Settings):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = typing.get_args(kind)[-1]
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(arg for arg in typing.get_args(kind) if arg is not types.NoneType)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Settings) else []


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise a ValueError that names the allowed values if an option has none of them.

    Parameters
    ----------
    name
        The option's name.
    value
        What it was given.
    choices
        A `Literal` type of all allowed values.
    """
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r} (allowed: {', '.join(allowed)})")
