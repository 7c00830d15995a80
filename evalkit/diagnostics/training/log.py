"""`measured.jsonl`: what was measured of each clip, by its content. Append-only, whole batches or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors

_BATCH = "batch"  # [number of the batch, its size]


class MeasuredLog:
    """keys: what the log holds. Opening it drops a batch that a kill cut short; no line is kept in memory."""

    def __init__(self, path: Path, vectors: int | None = None) -> None:
        """vectors: rows that the embeddings file holds. Batches whose rows were lost are dropped, to be measured again.

        Raises EvalkitError for a log that cannot be written, or is damaged in the middle.
        """
        self.path = path
        self.keys: set[str] = set()
        self.embeddings = 0  # rows of the embeddings file that the log knows of
        self._next_batch = 0
        self._recover(vectors)

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch and sync it to disk. Raises EvalkitError on a full or unwritable disk."""
        stamp = [self._next_batch, len(lines)]
        text = "".join(json.dumps({**line, _BATCH: stamp}, allow_nan=False) + "\n" for line in lines)
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._next_batch += 1
        self._take(lines)

    def _take(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.keys.update(line["key"] for line in lines)
        self.embeddings += _rows(lines)

    def _recover(self, vectors: int | None) -> None:
        with disk_errors(self.path):
            self.path.touch()
        whole = 0
        with self.path.open("rb") as file:
            for batch, end in _batches(file):
                if batch[0][_BATCH][0] != self._next_batch:
                    raise EvalkitError(f"{self.path} is damaged: move the folder away and diagnose again.")
                if vectors is not None and self.embeddings + _rows(batch) > vectors:
                    break
                self._take(batch)
                self._next_batch += 1
                whole = end
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.truncate(whole)


def _rows(lines: Sequence[Mapping[str, Any]]) -> int:
    return sum(line["embedding"] is not None for line in lines)


def _batches(file: IO[bytes]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Each whole batch, and where it ends in the file; stops at the first that is not whole."""
    batch: list[dict[str, Any]] = []
    end = 0
    for text in file:
        end += len(text)
        try:
            line = json.loads(text) if text.endswith(b"\n") else None
        except ValueError:
            line = None
        if not isinstance(line, dict) or line.get(_BATCH) is None or (batch and line[_BATCH] != batch[0][_BATCH]):
            return
        batch.append(line)
        if len(batch) == line[_BATCH][1]:
            yield batch, end
            batch = []
