"""The append-only log of a run: whole batches or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import disk_errors

Row = dict[str, Any]

_BATCH = "batch"  # [number of the batch, its size]: tells after a kill whether the batch came through whole


class UtteranceLog:
    """`utterances.jsonl`: one line per utterance, synced batch by batch.

    Opening it drops a batch that a kill cut short; such a batch is made again as a whole, so that the numbers of a
    resumed run equal those of an uninterrupted one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self._next_batch = 0
        self._recover()

    def append(self, rows: Sequence[Row]) -> None:
        """Add a batch and sync it to disk before returning. Raises EvalkitError on a full or unwritable disk."""
        stamp = [self._next_batch, len(rows)]
        text = "".join(_line({**row, _BATCH: stamp}) for row in rows)
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._next_batch += 1
        self.rows.extend(rows)

    def _recover(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        position = 0
        while position < len(lines) and (batch := _whole_batch(lines, position, self._next_batch)):
            position += len(batch)
            self._next_batch += 1
            self.rows.extend({key: value for key, value in row.items() if key != _BATCH} for row in batch)
        rest = lines[position:]
        if not rest:
            return
        # A kill leaves a part of the one batch that was being written; anything else is damage that nobody should hide.
        if any(row[_BATCH][0] != self._next_batch for row in map(_parse, rest) if row is not None):
            raise EvalkitError(
                f"{self.path} is damaged at line {position + 1}: move the run folder away and run again."
            )
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.truncate(sum(len(line) for line in lines[:position]))


def _whole_batch(lines: Sequence[bytes], start: int, number: int) -> list[Row] | None:
    first = _parse(lines[start])
    if first is None or first[_BATCH][0] != number:
        return None
    size = first[_BATCH][1]
    rows = [_parse(line) for line in lines[start : start + size]]
    if len(rows) < size or any(row is None or row[_BATCH] != [number, size] for row in rows):
        return None
    return [row for row in rows if row is not None]


def _parse(line: bytes) -> Row | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and _BATCH in row else None


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
