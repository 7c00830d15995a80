"""The lock file: which bytes a judge consisted of when it was first fetched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

ENVIRONMENT = "EVALKIT_JUDGES_LOCK"


def _inside(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError("a file name that leaves the judge's folder")
    return name


class Record(BaseModel):
    """One judge as fetched. source: where from; revision: commit of the repository, where there is one.

    sha256: file name in the judge's folder -> hex digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    revision: str | None = None
    sha256: dict[
        Annotated[str, AfterValidator(_inside)], Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    ] = Field(min_length=1)


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    judges: dict[str, Record] = {}


def committed_lock() -> Path | None:
    """The lock file that EVALKIT_JUDGES_LOCK names."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given else None


def recorded(judge_id: str, locks: list[Path]) -> tuple[Record, Path] | None:
    """The judge's record in the first of these lock files that has one, and that file.

    Raises ValueError if a lock file cannot be read.
    """
    for path in locks:
        if record := _read(path).judges.get(judge_id):
            return record, path
    return None


def record(judge_id: str, entry: Record, path: Path) -> None:
    """Write a judge's record into a lock file, atomically; the caller keeps other writers away."""
    lock = _read(path)
    lock.judges = dict(sorted({**lock.judges, judge_id: entry}.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(json.dumps(lock.model_dump(), indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read(path: Path) -> _Lock:
    try:
        return _Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Lock()
    except (ValidationError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"The lock file {path} cannot be read ({first}): restore it from version control.") from error
