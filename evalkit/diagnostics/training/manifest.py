"""Manifests of clips that exist: JSON lines as NeMo and evalkit read them, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training.rows import has_column
from evalkit.files import disk_errors

COLUMNS = ("where", "text", "seconds")
PACKED = (
    "Clips inside tars or tables, or of one channel of a file: {count:,}. Their audio_filepath says where, "
    "which no trainer opens: take them from there by their id."
)
_PART = re.compile(r" from (\d[\d.e+-]*) s$")
_INSIDE = re.compile(r"(\.tar: .|\.(parquet|arrow) row \d+$| channel \d+(\+\d+)*( from \d[\d.e+-]* s)?$)")

Write = Callable[[Mapping[str, Any]], None]


def columns(clips: Path) -> tuple[str, ...]:
    """What `line` needs of a row, beside what every row has."""
    return (*COLUMNS, "start_s") if has_column(clips, "start_s") else COLUMNS


def line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of clips as a line of a manifest; offset and duration in s, the path absolute. Audio is never touched."""
    path, offset = place(row)
    return {
        "audio_filepath": path if is_packed(row) else os.path.abspath(path),
        "text": row["text"] or "",
        "speaker": row["speaker"],
        "id": row["id"],
        "offset": offset,
        "duration": row["seconds"],
    }


def place(row: Mapping[str, Any]) -> tuple[str, float]:
    """The file, and where in it the clip begins, in s."""
    where, start = str(row["where"]), row.get("start_s")
    if start is not None:
        return where.removesuffix(f" from {start:g} s"), float(start)
    found = _PART.search(where)
    return (where[: found.start()], float(found.group(1))) if found else (where, 0.0)


def is_packed(row: Mapping[str, Any]) -> bool:
    return bool(_INSIDE.search(str(row["where"])))


@contextmanager
def written(*paths: Path) -> Iterator[list[Write]]:
    """A writer of JSON lines for each path. The files appear, all whole, when the block ends without an error."""
    files, temporaries = [], []
    with disk_errors(paths[0]):
        try:
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                temporaries.append(temporary)
                files.append(os.fdopen(descriptor, "w", encoding="utf-8"))
            yield [_writer(file) for file in files]
            for file in files:
                file.flush()
                os.fsync(file.fileno())
            for temporary, path in zip(temporaries, paths, strict=True):
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
        finally:
            for file in files:
                file.close()
            for temporary in temporaries:
                Path(temporary).unlink(missing_ok=True)


def _writer(file: Any) -> Write:
    def write(value: Mapping[str, Any]) -> None:
        file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")

    return write
