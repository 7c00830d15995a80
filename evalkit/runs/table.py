"""`scores.parquet`: the rows of the log as a typed table."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.files import write_atomically
from evalkit.runs.log import Row

TEXT = ("utterance", "item", "status", "reason", "text", "spoken", "read", "phonemes", "audio")
WHOLE = ("repeat", "seed", "sample_rate")
NESTED = ("entities", "tags", "missing", "details")  # JSON strings in the table


def write_scores(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """rows: as in the log; columns: the score columns, in order. Sorted by utterance, so that the order of work is
    not part of the result."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(rows, key=lambda row: str(row["utterance"]))
    data: dict[str, Any] = {name: pa.array([row[name] for row in ordered], pa.string()) for name in TEXT}
    data |= {name: pa.array([row[name] for row in ordered], pa.int64()) for name in WHOLE}
    data |= {name: pa.array([row.get(name) for row in ordered], pa.float64()) for name in columns}
    data |= {
        name: pa.array([json.dumps(row[name], ensure_ascii=False) for row in ordered], pa.string()) for name in NESTED
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(data), buffer)
    write_atomically(path, buffer.getvalue())


def read_scores(path: Path) -> list[Row]:
    """Rows as they stand in the log. Raises EvalkitError when the file is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Row] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise EvalkitError(f"{path} cannot be read as a table of scores ({error}): run its command again.") from error
    return [{**row, **{name: json.loads(row[name]) for name in NESTED if name in row}} for row in rows]
