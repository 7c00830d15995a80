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


def parse_settings(
    owner: str, declared: Mapping[str, Option], settings: Sequence[str], prefix: str = ""
) -> dict[str, Value]:
    """`["speed=1.2"]` -> every declared option with its value.

    owner: who declares them, and prefix: what the user wrote before a name ("dnsmos."), for messages.
    Raises ValueError on a bad name or value.
    """
    values: dict[str, Value] = {name: option.default for name, option in declared.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        said = f"--set {prefix}{setting}"
        if not equals:
            raise ValueError(f"{said}: write it as name=value.")
        if name not in declared:
            raise ValueError(f"{said}: {owner} has no option '{name}'{_hint(name, declared)}")
        values[name] = _parse_value(said, declared[name], text)
    return values


def complete(owner: str, declared: Mapping[str, Option], given: Mapping[str, Value]) -> dict[str, Value]:
    """Every declared option with its value: the given one, or the default. Raises ValueError on a bad name or value."""
    for name, value in given.items():
        if name not in declared:
            raise ValueError(f"{owner} has no option '{name}'{_hint(name, declared)}")
        kind = type(declared[name].default)
        whole = isinstance(value, int) and not isinstance(value, bool) and kind is float
        if type(value) is not kind and not whole:
            raise ValueError(f"The option {name} of {owner} is {value!r}: it takes {_KINDS[kind]}.")
    check_values(owner, declared, **given)
    defaults = {name: option.default for name, option in declared.items()}
    return defaults | {name: type(defaults[name])(value) for name, value in given.items()}


def _hint(name: str, declared: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, declared, n=1)
    return f": did you mean '{close[0]}'?" if close else f"; it has: {', '.join(sorted(declared)) or 'none'}."


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _parse_value(said: str, option: Option, text: str) -> Value:
    kind = type(option.default)
    try:
        value: Value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{said}: it takes {_KINDS[kind]}.") from error
    if sentence := _refusal(option, value):
        raise ValueError(f"{said}: {sentence}")
    return value


def check_values(owner: str, declared: Mapping[str, Option], **values: Value) -> None:
    """Raise ValueError unless every value, by its option's name, is one that the option takes."""
    for name, value in values.items():
        if sentence := _refusal(declared[name], value):
            raise ValueError(f"The option {name} of {owner} is {value!r}: {sentence}")


def _refusal(option: Option, value: Value) -> str | None:
    if option.choices and value not in option.choices:
        return f"it takes one of {', '.join(option.choices)}."
    below = option.low is not None and isinstance(value, int | float) and not value >= option.low
    above = option.high is not None and isinstance(value, int | float) and not value <= option.high
    if below or above:
        return f"it takes a value from {option.low} to {option.high}."
    return None
