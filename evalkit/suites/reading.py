"""Files of a suite -> validated records; every fault is one sentence with file and line."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from evalkit.errors import EvalkitError
from evalkit.files import read_text
from evalkit.suites.schema import Header

Record = TypeVar("Record", bound=BaseModel)

PATTERNS = {
    "id": "does not make a file name; use letters, digits, '.', '_' and '-', beginning with a letter or digit",
    "name": "does not make a file name; use letters, digits, '.', '_' and '-', beginning with a letter or digit",
    "tags": "is not a tag; write name:value without blanks, such as 'domain:banking'",
    "language": "is not a language code; write one such as 'ta' or 'en-IN'",
    "kind": "is not a kind; write one lower-case word such as 'person'",
}


def read_header(path: Path) -> Header:
    try:
        fields = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise EvalkitError(f"{path} is not valid TOML: {error}; mend that place.") from error
    return _validated(Header, fields, str(path))


def read_lines(path: Path, model: type[Record]) -> Iterator[tuple[str, Record]]:
    """Yield (place, record) for each line that is not blank; `place` is "FILE, line N"."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise EvalkitError(
                f"{place}: not valid JSON ({error.msg} at column {error.colno}); write one JSON object a line."
            ) from error
        _check_characters(fields, place)
        yield place, _validated(model, fields, place)


def _check_characters(fields: object, place: str) -> None:
    r"""Refuse half a character (\ud83d without the half that follows), which JSON can spell and UTF-8 cannot hold."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise EvalkitError(f"{place}: {half} is half of a character; write the character itself.") from error


def _text(path: Path) -> str:
    if not path.exists():
        raise EvalkitError(f"{path} does not exist; a suite needs it.")
    return read_text(path)


def _validated(model: type[Record], fields: object, place: str) -> Record:
    if not isinstance(fields, dict):
        raise EvalkitError(f"{place}: a JSON object is expected; a line looks like {_example(model)}.")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise EvalkitError(f"{place}: {_fault(error, model)}.") from error


def _fault(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0])
    where = f"field '{field}'" + "".join(f", entry {part + 1}" for part in first["loc"][1:] if isinstance(part, int))
    match first["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(field, model.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "take it out"
            return f"unknown field '{field}': {hint} (known: {', '.join(model.model_fields)})"
        case "missing":
            return f"the field '{field}' is missing; every {_noun(model)} needs {', '.join(_required(model))}"
        case "string_pattern_mismatch":
            return f"{where}: {first['input']!r} {PATTERNS[field]}"
        case "too_short":
            return f"{where}: it is empty; at least one entry is needed"
        case "value_error":
            return f"{where}: {first['ctx']['error']}"
        case _:
            return f"{where}: {first['msg'].lower()}, not {first['input']!r}"


def _required(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required()]


def _example(model: type[BaseModel]) -> str:
    return "{" + ", ".join(f'"{name}": …' for name in _required(model)) + "}"


def _noun(model: type[BaseModel]) -> str:
    return {"ItemLine": "item", "LexiconLine": "lexicon entry"}.get(model.__name__, "suite")
