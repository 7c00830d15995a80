"""The nights on disk: `nights/<label>.json`, written whole after every job, and which of them is not finished yet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors, write_json

VERSION = 1
RUNS = "runs"  # the folder of the runs in the site
GOES_ON = timedelta(hours=18)  # a night that was interrupted longer ago is over: the next command is the next night's

Night = dict[str, Any]
"""night: label; title; started, ended: ISO times with a zone, ended None while it is open; jobs: entries in the order
of the nightly.toml (`evalkit.nightly.entries`); notices: sentences; pruned: what retention did."""


class Nights:
    """The nights of one site."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / "nights"
        self._open_path = out / "open-night.json"

    def path(self, label: str) -> Path:
        return self.folder / f"{label}.json"

    def labels(self) -> list[str]:
        """Of every night that has a file, by name."""
        return sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def read(self, label: str) -> Night:
        """Raises EvalkitError for a file that is missing or damaged."""
        path = self.path(label)
        try:
            night = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EvalkitError(f"The night {path} cannot be read ({error}): move the file away.") from error
        if not isinstance(night, dict) or night.get("version") != VERSION or not isinstance(night.get("jobs"), list):
            raise EvalkitError(f"{path} is not a night that this version of evalkit wrote: move the file away.")
        return night

    def readable(self) -> tuple[list[Night], list[str]]:
        """Every night that can be read, oldest first, and a sentence for each that cannot."""
        nights: list[Night] = []
        problems: list[str] = []
        for label in self.labels():
            try:
                nights.append(self.read(label))
            except EvalkitError as error:
                problems.append(str(error))
        return sorted(nights, key=order), problems

    def write(self, night: Night) -> None:
        write_json(self.path(night["night"]), night)

    def open_label(self, now: datetime) -> str | None:
        """The night that was started, not finished, and not long enough ago to be another one."""
        night = self.unfinished()
        if night is None or now - datetime.fromisoformat(night["started"]) >= GOES_ON:
            return None
        return str(night["night"])

    def unfinished(self) -> Night | None:
        """The night that was begun last and never came to its end."""
        try:
            night = self.read(json.loads(self._open_path.read_text(encoding="utf-8"))["night"])
        except (OSError, ValueError, KeyError, TypeError, EvalkitError):
            return None  # no night is open, or its file is no more
        return night if night["ended"] is None else None

    def set_open(self, label: str) -> None:
        write_json(self._open_path, {"night": label})

    def set_closed(self) -> None:
        with disk_errors(self._open_path):
            self._open_path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time. The lock goes with the process, also when it is killed."""
        with disk_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise EvalkitError(f"Another evalkit nightly is at work in {self.out}: wait for it.") from error
        try:
            yield
        finally:
            lock.release()


def order(night: Mapping[str, Any]) -> tuple[float, str]:
    """Nights are ordered by when they began, whatever they are called."""
    return datetime.fromisoformat(night["started"]).timestamp(), str(night["night"])


def checked_label(label: str) -> str:
    """A name that can be a file's. Raises EvalkitError for others."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", label):
        raise EvalkitError(f"--night {label}: use letters, digits, '.', '_' and '-', 80 at most.")
    return label
