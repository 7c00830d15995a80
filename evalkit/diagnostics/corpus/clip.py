"""One clip of a training set, and where its audio lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evalkit.diagnostics.corpus.texts import writable


class Audio(Protocol):
    """Encoded audio somewhere on disk. It travels to the process that decodes it, so it is small until it is read."""

    @property
    def start_s(self) -> float:
        """Where the clip begins in what is encoded."""
        ...

    @property
    def seconds(self) -> float | None:
        """How long it is; None for all the rest."""
        ...

    @property
    def where(self) -> str:
        """For people: the file, and the place in it."""
        ...

    def encoded(self) -> bytes:
        """The bytes of the file that holds the clip. Raises OSError when they cannot be read."""
        ...


@dataclass(frozen=True)
class Clip:
    """id: unique in the set, once `identified`; text: what is said, where that is known."""

    id: str
    speaker: str
    text: str | None
    audio: Audio


@dataclass(frozen=True)
class File:
    """A file of its own, or a part of one. channels: those that the clip is, from 0; () for all of them."""

    path: Path
    start_s: float = 0.0
    seconds: float | None = None
    channels: tuple[int, ...] = ()

    @property
    def where(self) -> str:
        channels = f" channel {'+'.join(map(str, self.channels))}" if self.channels else ""
        part = f" from {self.start_s:g} s" if self.start_s or self.seconds is not None else ""
        return writable(f"{self.path}{channels}{part}")

    def encoded(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class Member:
    """A member of a tar, which is not compressed: bytes [offset, offset + size) of it."""

    tar: Path
    name: str
    offset: int
    size: int
    start_s: float = 0.0
    seconds: float | None = None

    @property
    def where(self) -> str:
        return writable(f"{self.tar}: {self.name}")

    def encoded(self) -> bytes:
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise OSError(f"{self.tar} ends in the middle of {self.name}")
        return data


@dataclass(frozen=True)
class Cell:
    """A cell of a table (parquet, arrow), read while the table is passed over."""

    table: Path
    row: int
    data: bytes
    start_s: float = 0.0
    seconds: float | None = None

    @property
    def where(self) -> str:
        return writable(f"{self.table} row {self.row}")

    def encoded(self) -> bytes:
        return self.data
