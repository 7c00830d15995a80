"""Bring a judge's files to this machine, check them, and remember what they were."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from metrics.packages import sha256
from metrics.weights.catalogue import Judge
from metrics.weights.download import AbsentError, Advance, discard
from metrics.weights.lock import Record, record, recorded
from metrics.weights.sources import Source, is_address, source_of
from metrics.weights.store import JudgeWeights, judge_folder, judges_folder, lock_files, stored


class Progress(Protocol):
    """What `fetch` tells while it works."""

    def waiting(self, judge: Judge) -> None:
        """Another process is fetching the same judge."""
        ...

    def file(self, judge: Judge, name: str) -> Advance:
        """A file begins; the answer takes the bytes that have arrived, and all bytes where known."""
        ...


class State(StrEnum):
    present = "present"  # was here, and is what it should be
    recorded = "recorded"  # was here, and its digests are now in the lock file
    fetched = "fetched"


@dataclass(frozen=True)
class Fetched:
    """What `fetch` did, and where the judge is now."""

    weights: JudgeWeights
    state: State


def fetch(
    judge: Judge,
    progress: Progress,
    *,
    mirror: str | None = None,
    offline: bool = False,
    committed: Path | None = None,
) -> Fetched:
    """Put a judge into the judges folder, or make sure that it is there and is what it should be.

    mirror: address or path that stands in for the judge's own source. offline: touch no network. committed: lock file
    that decides instead of the one that EVALKIT_JUDGES_LOCK names, and into which a new judge is recorded.

    A file is used only after its digest was checked against the published or recorded one; a file with another digest
    is removed. Raises ValueError with what went wrong and how to mend it, OSError if the disk fails.
    """
    if offline and mirror is not None and is_address(mirror):
        raise ValueError(f"--offline forbids --from {mirror}: give a folder instead.")
    with _alone(judge, progress):
        locks = lock_files(committed)
        known = recorded(judge.id, locks)
        expected = _Expected.of(judge, known)
        if expected.hold(judge_folder(judge)):
            entry, state = known[0] if known else None, State.present
        elif offline and mirror is None:
            entry, state = _adopt(judge, expected), State.recorded
        else:
            source = source_of(judge, mirror, known[0].revision if known else None)
            digests = _bring_all(judge, source, expected, progress)
            entry, state = Record(source=source.origin, revision=source.revision, sha256=digests), State.fetched
        _remember(judge, known[0] if known else entry, locks)
        weights = stored(judge, committed)
    if weights is None:
        raise AssertionError(f"{judge.id} was fetched and is not found")
    return Fetched(weights, state)


@dataclass(frozen=True)
class _Expected:
    """Digests that a judge's files must have, empty if nobody knows. authority: who says so, for messages."""

    sha256: Mapping[str, str]
    authority: str

    @staticmethod
    def of(judge: Judge, known: tuple[Record, Path] | None) -> _Expected:
        if judge.sha256:
            return _Expected(judge.sha256, "published by its makers")
        if known:
            return _Expected(known[0].sha256, f"recorded in {known[1]}")
        return _Expected({}, "")

    def hold(self, folder: Path) -> bool:
        """Whether there are any, and the folder's files have them."""
        return bool(self.sha256) and all(
            (folder / file).is_file() and sha256(folder / file) == digest for file, digest in self.sha256.items()
        )


def _bring_all(judge: Judge, source: Source, expected: _Expected, progress: Progress) -> dict[str, str]:
    """Every file of the judge, into its folder; stored name -> digest."""
    digests: dict[str, str] = {}
    for part in judge.parts:
        names = [name for name in part.names if not expected.sha256 or part.stored_as(name) in expected.sha256]
        for name in names:
            try:
                stored_name = part.stored_as(name)
                advance = progress.file(judge, stored_name)
                digests[stored_name] = _bring(judge, source, name, stored_name, expected, advance)
                break
            except AbsentError:
                continue
        else:
            if part.required or (names and expected.sha256):
                raise ValueError(
                    f"{source.origin} has no {' and no '.join(part.names)} for {judge.id}: name another source with "
                    "--from."
                )
    if strange := expected.sha256.keys() - digests.keys():
        raise ValueError(
            f"{', '.join(sorted(strange))} of {judge.id} is {expected.authority}, but this version of evalkit does not "
            "fetch it: upgrade evalkit, or remove the judge from the lock file."
        )
    return digests


def _bring(judge: Judge, source: Source, name: str, stored_name: str, expected: _Expected, advance: Advance) -> str:
    """One file, into the judge's folder once its digest is right; the digest. Raises AbsentError or ValueError."""
    target = judge_folder(judge) / stored_name
    digest = expected.sha256.get(stored_name) or source.digest(name)
    if digest and target.is_file() and sha256(target) == digest:
        return digest
    part = target.with_name(f"{stored_name}.part")
    resumed = source.get(name, stored_name, part, advance, digest_known=bool(digest))
    found = sha256(part)
    if digest and found != digest and resumed:  # what was there before may have been the wrong half
        discard(part)
        source.get(name, stored_name, part, advance, digest_known=True)
        found = sha256(part)
    if digest and found != digest:
        discard(part)
        authority = expected.authority if stored_name in expected.sha256 else f"published at {source.origin}"
        raise ValueError(
            f"{name} of {judge.id} from {source.origin} has sha256 {found[:12]}, and {digest[:12]} is the one "
            f"{authority}; it was removed and is not used: name another source with --from."
        )
    os.replace(part, target)
    discard(part)
    return found


def _adopt(judge: Judge, expected: _Expected) -> Record:
    """Record files that somebody put into the judges folder. Raises ValueError if they are not all there."""
    folder = judge_folder(judge)
    digests = {}
    for part in judge.parts:
        file = next((part.stored_as(name) for name in part.names if (folder / part.stored_as(name)).is_file()), None)
        if file:
            digests[file] = sha256(folder / file)
        elif part.required:
            raise ValueError(
                f"{judge.id} is not on this machine ({folder / part.stored_as(part.names[0])} is missing), and "
                "--offline forbids to download it: give a copy with --from FOLDER."
            )
    wrong = [file for file, digest in expected.sha256.items() if digests.get(file) != digest]
    if wrong:
        raise ValueError(
            f"{folder / wrong[0]} does not have the sha256 that is {expected.authority}, and --offline forbids to "
            "download it again: give a copy with --from FOLDER."
        )
    return Record(source="files that were in the judges folder", sha256=digests)


def _remember(judge: Judge, entry: Record | None, locks: list[Path]) -> None:
    """Write the record into the lock files that lack it; what is published with the address needs none."""
    if judge.sha256 or entry is None:
        return
    with FileLock(_guard("judges")):
        for path in locks:
            known = recorded(judge.id, [path])
            if known is None or known[0] != entry:
                record(judge.id, entry, path)


@contextmanager
def _alone(judge: Judge, progress: Progress) -> Iterator[None]:
    """Keep other fetches of the same judge waiting; the operating system lets go of it if this process dies."""
    judge_folder(judge).mkdir(parents=True, exist_ok=True)
    lock = FileLock(_guard(f"{judge.kind}-{judge.name}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.waiting(judge)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _guard(name: str) -> Path:
    folder = judges_folder() / ".guards"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
