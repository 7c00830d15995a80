"""A `nightly.toml`, read, checked and with its paths made whole. Nothing here speaks or scores."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from evalkit.errors import EvalkitError
from evalkit.nightly.schema import File, LogEntry, ModelEntry

LARGEST = 2**20  # bytes; the file is a page of text


def read_config(path: Path) -> File:
    """The file with every path relative to its folder. Raises EvalkitError, a sentence per fault."""
    try:
        if path.is_file() and path.stat().st_size > LARGEST:
            raise EvalkitError(f"{path} is larger than a megabyte; is it a nightly.toml?")
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvalkitError(f"{path} does not exist: name the nightly.toml.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvalkitError(f"{path} cannot be read as text ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise EvalkitError(f"{path} is not valid TOML: {error}.") from error
    try:
        file = File.model_validate(content)
    except ValidationError as error:
        faults = [_fault(one, content) for one in error.errors(include_url=False, include_input=False)]
        raise faults_in(path, list(dict.fromkeys(faults))) from error
    if faults := _clashes(file):
        raise faults_in(path, faults)
    return _placed(file, path.parent)


def faults_in(path: Path, faults: list[str]) -> EvalkitError:
    """One error for all that is wrong with a file, a sentence each."""
    if len(faults) == 1:
        return EvalkitError(f"{path}: {faults[0]}")
    return EvalkitError("\n".join([f"{path} has {len(faults)} faults:", *(f"- {fault}" for fault in faults)]))


def _fault(error: Any, content: Mapping[str, Any]) -> str:
    """`[[model]] 2 'sarah': unknown key 'pth': did you mean 'path'?`"""
    place = [part for part in error["loc"] if not _of_a_union(part)]
    if error["type"] == "extra_forbidden":
        *within, key = place
        known = sorted(_fields(File, within))
        close = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}."
        return f"{_where(within, content)}unknown key '{key}': {hint}"
    if error["type"] == "missing":
        *within, key = place
        what = f"no [[{key}]] is given" if not within else f"'{key}' is missing"
        return f"{_where(within, content)}{what}."
    reason = error["msg"].removeprefix("Value error, ")
    if place and isinstance(place[-1], str) and len(place) > 1:
        *within, key = place
        return f"{_where(within, content)}'{key}': {reason}."
    return f"{_where(place, content)}{reason}."


def _of_a_union(part: object) -> bool:
    """pydantic names the branch of a union in an error's place; nobody wrote that into the file."""
    return isinstance(part, str) and (part.startswith(("function-after[", "list[", "constrained-")) or part == "str")


def _where(place: list[Any], content: Mapping[str, Any]) -> str:
    if not place:
        return ""
    if len(place) > 1 and isinstance(place[1], int):
        entries = content.get(place[0])
        entry = entries[place[1]] if isinstance(entries, list) and place[1] < len(entries) else None
        name = entry.get("name") or entry.get("path") if isinstance(entry, dict) else None
        rest = f" {'.'.join(map(str, place[2:]))}" if place[2:] else ""
        called = f"'{name}'" if name else place[1] + 1
        return f"[[{place[0]}]] {called}{rest}: "
    return f"[{'.'.join(map(str, place))}]: "


def _fields(model: type[BaseModel], place: Iterable[Any]) -> Iterable[str]:
    """The keys that may stand at a place of the file."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model.model_fields.keys()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def _clashes(file: File) -> list[str]:
    names = [model.name for model in file.model]
    return [
        f"two [[model]] entries are called '{name}'; give one of them another name."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _placed(file: File, folder: Path) -> File:
    models = [_placed_model(model, folder) for model in file.model]
    suites = [suite.model_copy(update=_paths(suite, folder, "path", "rules")) for suite in file.suite]
    return file.model_copy(
        update={"out": folder / file.out, "model": models, "suite": suites, "log": _placed_log(file.log, folder)}
    )


def _placed_model(model: ModelEntry, folder: Path) -> ModelEntry:
    """A voice, and a text that is a file, may be names too: only what is there beside the file is a path."""
    found = {
        key: str(folder / value)
        for key, value in (("voice", model.voice), ("voice_text", model.voice_text))
        if value is not None and len(value) < 256 and "\n" not in value and (folder / value).is_file()
    }
    return model.model_copy(update={**_paths(model, folder, "path", "base", "reference", "baseline"), **found})


def _placed_log(log: LogEntry, folder: Path) -> LogEntry:
    update: dict[str, Any] = {}
    if log.mlflow is not None:
        update["mlflow"] = log.mlflow.model_copy(update={"uri": _store(log.mlflow.uri, folder)})
    if log.wandb is not None:
        update["wandb"] = log.wandb.model_copy(update={"folder": folder / log.wandb.folder})
    return log.model_copy(update=update)


def _store(uri: str, folder: Path) -> str:
    """A folder of files, or an SQLite file, beside the nightly.toml; an address as it stands."""
    sqlite = "sqlite:///"
    if uri.startswith(sqlite):
        return f"{sqlite}{(folder / uri.removeprefix(sqlite)).absolute()}"
    return uri if ":" in uri or uri == "databricks" else (folder / uri).absolute().as_uri()


def _paths(entry: BaseModel, folder: Path, *names: str) -> dict[str, Any]:
    return {name: folder / value for name in names if (value := getattr(entry, name)) is not None}
