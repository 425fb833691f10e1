"""Options that are one of a few words: a misspelled one is refused, not taken for another."""

from __future__ import annotations

from typing import Any, get_args


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
