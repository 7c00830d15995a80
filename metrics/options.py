"""Settings that a metric or an engine declares and a user may change."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Value = int | float | str | bool


@dataclass(frozen=True)
class Option:
    """A setting that a user may change by `--set name=value`. choices or [low, high] bound it."""

    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def parse_settings(owner: str, declared: Mapping[str, Option], settings: Sequence[str]) -> dict[str, Value]:
    """`["speed=1.2"]` -> every declared option with its value. owner: who declares them, for messages.

    Raises ValueError on a bad name or value.
    """
    values: dict[str, Value] = {name: option.default for name, option in declared.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write it as name=value.")
        if name not in declared:
            raise ValueError(f"--set {setting}: {owner} has no option '{name}'{_hint(name, declared)}")
        values[name] = _parse_value(name, declared[name], text)
    return values


def _hint(name: str, declared: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, declared, n=1)
    return f": did you mean '{close[0]}'?" if close else f"; it has: {', '.join(sorted(declared)) or 'none'}."


def _parse_value(name: str, option: Option, text: str) -> Value:
    kind = type(option.default)
    try:
        value: Value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise ValueError(f"--set {name}={text}: it takes a {kind.__name__}.") from error
    if option.choices and value not in option.choices:
        raise ValueError(f"--set {name}={text}: it takes one of {', '.join(option.choices)}.")
    below = option.low is not None and isinstance(value, int | float) and not value >= option.low
    above = option.high is not None and isinstance(value, int | float) and not value <= option.high
    if below or above:
        raise ValueError(f"--set {name}={text}: it takes a value from {option.low} to {option.high}.")
    return value
