"""Read a file of rules; every fault is one sentence that names the file and the rule."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from evalkit.decisions.gate.schema import KINDS, Rules
from evalkit.errors import EvalkitError
from evalkit.registry import SUITES, unknown

STARTER = "gate.toml"
_OWN = {"origin"}  # fields of Rules that no file sets


def read_rules(path: Path) -> Rules:
    """The rules in a TOML file. Raises EvalkitError naming the rule that is wrong."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvalkitError(f"The rules {path} do not exist; check the path.") from error
    except tomllib.TOMLDecodeError as error:
        raise EvalkitError(f"The rules {path} are not valid TOML: {error}; mend that place.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"The rules {path} cannot be read as text ({error}).") from error
    return make_rules(content, str(path))


def starter_rules(suite_name: str) -> Rules:
    """The rules that a suite brings along, by its registered name. Raises EvalkitError where it has none."""
    folder = SUITES.load(suite_name) if suite_name in SUITES.names() else None
    folder = folder() if callable(folder) else folder
    path = folder / STARTER if isinstance(folder, Path) else None
    if path is None or not path.is_file():
        raise EvalkitError(f"The suite '{suite_name}' brings no {STARTER} along: write one and give it with --rules.")
    return read_rules(path)


def make_rules(content: dict[str, Any], origin: str) -> Rules:
    """Rules of parsed content. Raises EvalkitError naming the rule that is wrong. origin: where it comes from."""
    known = [name for name in Rules.model_fields if name not in _OWN]
    for key in content:
        if key not in known:
            raise EvalkitError(f"The rules {origin}: {unknown('table', key, known)}")
    for kind in KINDS.keys() & content.keys():
        wanted, table = (dict, f"[{kind}]") if kind == "passport" else (list, f"[[{kind}]]")
        if not isinstance(content[kind], wanted):
            raise EvalkitError(f"The rules {origin}: write the head of a {kind} rule as {table}.")
    try:
        rules = Rules.model_validate({**content, "origin": origin})
    except ValidationError as error:
        raise EvalkitError(f"The rules {origin}: {_fault(error, content)}.") from error
    titles = Counter(rule.title for rule in rules.rules())
    if not titles:
        raise EvalkitError(f"The rules {origin} hold no rule: write one, such as [[coverage]] with min = 0.99.")
    twice = next((title for title, count in titles.items() if count > 1), None)
    if twice is not None:
        raise EvalkitError(f"The rules {origin}: two rules are called '{twice}'; give one of them another name.")
    return rules


def _fault(error: ValidationError, content: dict[str, Any]) -> str:
    faults = error.errors(include_url=False)
    first = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])  # a misspelt field misses too
    place = [part for part in first["loc"] if part != "passport"]
    kind = str(first["loc"][0])
    if kind not in KINDS:  # a setting of the whole file
        return f"{kind}: {_reason(first, Rules, kind)}"
    if kind == "passport":
        where, rest = "the passport rule", place
    else:
        number = place[1] if len(place) > 1 and isinstance(place[1], int) else 0
        where, rest = _which(kind, number, content), place[2:]
    field = str(rest[0]) if rest else None
    reason = _reason(first, KINDS[kind], field)
    return (
        f"{where}: {reason}"
        if field is None or first["type"] in {"extra_forbidden", "missing"}
        else (f"{where}, {field}: {reason}")
    )


def _which(kind: str, number: int, content: dict[str, Any]) -> str:
    rule = content[kind][number]
    named = rule.get("name") or rule.get("column") if isinstance(rule, dict) else None
    return f"{kind} rule {number + 1}" + (f" ('{named}')" if named else "")


def _reason(first: Any, model: type[BaseModel], field: str | None) -> str:
    match first["type"]:
        case "extra_forbidden":
            return unknown("field", str(field), model.model_fields).removesuffix(".").replace("Unknown", "unknown")
        case "missing":
            return f"the field '{field}' is missing"
        case "value_error":
            return str(first["ctx"]["error"])
        case _:
            message = first["msg"].removeprefix("Input ")
            return f"{message[0].lower()}{message[1:]}, not {first['input']!r}"
