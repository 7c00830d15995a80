"""Where the weights of a standard judge are on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metrics.folders import shared_folder
from metrics.packages import sha256
from metrics.weights.catalogue import Judge, find_judge, missing_carrier, parse
from metrics.weights.lock import committed_lock, recorded

MOST_FILES = 1000  # of a folder that a user gives


@dataclass(frozen=True)
class JudgeWeights:
    """Weights of one judge. path: a file, or a folder that holds `sha256`'s files (relative name -> hex digest).

    name: "whisper:base.en"; of a file or folder that the user gave, its base name and the start of its digest,
    "my-whisper.pt@3f2a9c01d2b4", which is the same on every machine.
    revision: commit of the repository that it came from, where known.
    """

    name: str
    path: Path
    sha256: Mapping[str, str]
    revision: str | None = None


def judges_folder() -> Path:
    """EVALKIT_JUDGES, or `evalkit/judges` in the user's cache folder."""
    return shared_folder("EVALKIT_JUDGES", "judges")


def judge_folder(judge: Judge) -> Path:
    return judges_folder() / judge.kind / judge.name


def lock_files(committed: Path | None = None) -> list[Path]:
    """The lock files in force, the first that has a judge decides: `committed` or EVALKIT_JUDGES_LOCK, the folder's."""
    first = committed or committed_lock()
    return [*([first] if first else []), judges_folder() / "judges.lock"]


def find(kind: str, name: str) -> JudgeWeights | None:
    """The weights of the judge `kind:name` ("whisper", "base.en"), or of the file or folder `name`; None if missing.

    Of a judge of the catalogue nothing is read: its digests are those published or recorded. A user's file or folder
    is hashed, once per process as long as it stays the same. Write "./base.en" for a file that has a judge's name.
    Raises ValueError if the lock file cannot be read, or if a user's folder holds no file or more than 1000.
    """
    if judge := find_judge(kind, name):
        return stored(judge)
    path = Path(name).expanduser()
    return _given(path) if path.exists() else None


def require(kind: str, name: str) -> JudgeWeights:
    """Like `find`, with the digests checked; a file is read once per process as long as it stays the same.

    Raises ValueError with the `evalkit fetch` line if the weights are missing or a digest is not the one published or
    recorded.
    """
    weights = find(kind, name)
    if weights is None:
        raise ValueError(_missing(kind, name))
    folder = weights.path.parent if weights.path.is_file() else weights.path
    for file, expected in weights.sha256.items():
        if (found := sha256(folder / file)) != expected:
            raise ValueError(
                f"{folder / file} has sha256 {found[:12]}, and {expected[:12]} was published or recorded for it; it is "
                f"not used: get it again with {fetch_line(kind, name)}."
            )
    return weights


def fetch_line(kind: str, name: str) -> str:
    """The command that puts the judge on this machine: "evalkit fetch whisper:base.en"."""
    judge = find_judge(kind, name)
    return f"evalkit fetch {judge.id if judge else f'{kind}:{name}'}"


def stored(judge: Judge, committed: Path | None = None) -> JudgeWeights | None:
    """The judge as it lies in the judges folder; None if a file is missing or its digest is neither known nor recorded.

    committed: lock file to go by instead of the one that EVALKIT_JUDGES_LOCK names.
    """
    known = recorded(judge.id, lock_files(committed))
    digests = judge.sha256 or (known[0].sha256 if known else {})
    folder = judge_folder(judge)
    if not digests or not all((folder / file).is_file() for file in digests):
        return None
    path = folder / next(iter(digests)) if judge.single_file else folder
    return JudgeWeights(judge.id, path, digests, known[0].revision if known else None)


def _given(path: Path) -> JudgeWeights:
    """A user's own file or folder: its digests are what they are."""
    if path.is_file():
        digests = {path.name: sha256(path)}
    else:
        digests = {file.relative_to(path).as_posix(): sha256(file) for file in _visible_files(path)}
    content = "".join(f"{file} {digest}\n" for file, digest in digests.items())
    digest = next(iter(digests.values())) if path.is_file() else hashlib.sha256(content.encode()).hexdigest()
    return JudgeWeights(f"{path.resolve().name}@{digest[:12]}", path, digests)


def _visible_files(folder: Path) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [file for name in names if not name.startswith(".") and (file := Path(parent, name)).is_file()]
        if len(files) > MOST_FILES:
            raise ValueError(f"{folder} holds more than {MOST_FILES} files: give the folder of one judge.")
    if not files:
        raise ValueError(f"{folder} holds no files: give the folder or the file of one judge.")
    return sorted(files)


def _missing(kind: str, name: str) -> str:
    if judge := find_judge(kind, name):
        return f"The judge {judge.id} is not on this machine: run {fetch_line(kind, name)}."
    if (problem := missing_carrier(kind)) and "/" not in name:
        return f"The judge {kind}:{name} {problem}."
    try:
        parse(f"{kind}:{name}")
    except ValueError as error:
        return f"No file or folder {name}, and no judge of that name. {error}"
    raise AssertionError(name)
