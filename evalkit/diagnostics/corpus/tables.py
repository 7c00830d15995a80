"""Hugging Face datasets on disk: parquet shards, or the arrow files of `save_to_disk`. Read row group by row group."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.clip import Audio, Cell, Clip, File
from evalkit.diagnostics.corpus.fields import Fields, find_fields, part_of, words_of
from evalkit.errors import EvalkitError

ROWS = 64  # read at once: audio lies in the rows
STATE = "state.json"  # in every folder that save_to_disk wrote


def saved_in(folder: Path) -> list[Path]:
    """The files that `save_to_disk` wrote, in order; those of all splits if it has several; [] if it is none."""
    if (folder / STATE).is_file():
        return _arrow_files(folder)
    splits = sorted(place.parent for place in folder.glob(f"*/{STATE}"))
    return [path for split in splits for path in _arrow_files(split)]


def clips_of_tables(shards: Sequence[Path], given: Mapping[str, str]) -> Iterator[Clip]:
    """given: field -> column, where the usual names do not fit. A row without audio is an error that names it.

    Without a column for it, an id is the shard's name, with the folders that shards differ in, and the row. A part is
    cut from the file that a row names; of audio in the row itself only if `given` says so, as that usually is the part.
    """
    common = Path(os.path.commonpath([shard.parent for shard in shards]))
    cuts = bool(given.keys() & {"start", "end", "seconds"})
    for shard in shards:
        name = shard.relative_to(common).with_suffix("").as_posix()
        fields: Fields | None = None
        row = 0
        for batch in _batches(shard):
            fields = fields or find_fields(batch.schema.names, given, str(shard))
            for line in batch.to_pylist():
                yield _clip(line, fields, shard, row, name, cuts)
                row += 1


def count_rows(shards: Sequence[Path]) -> int:
    """From what the files say of themselves; no audio is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    for shard in shards:
        with _reading(shard):
            if shard.suffix == ".parquet":
                rows += pq.read_metadata(shard).num_rows
            else:
                with pa.memory_map(str(shard)) as mapped:
                    rows += sum(batch.num_rows for batch in pa.ipc.open_stream(mapped))
    return rows


def _arrow_files(folder: Path) -> list[Path]:
    try:
        listed = json.loads((folder / STATE).read_text())["_data_files"]
        return [folder / one["filename"] for one in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvalkitError(f"{folder / STATE} does not list the dataset's files: save it again.") from error


def _batches(shard: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(shard):
        if shard.suffix == ".parquet":
            with pq.ParquetFile(shard) as file:
                yield from file.iter_batches(batch_size=ROWS)
            return
        with pa.memory_map(str(shard)) as mapped:
            for batch in pa.ipc.open_stream(mapped):
                yield from (batch.slice(start, ROWS) for start in range(0, len(batch), ROWS))


@contextmanager
def _reading(shard: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise EvalkitError(f"{shard} cannot be read as a table ({error}).") from error


def _clip(line: Mapping[str, Any], fields: Fields, shard: Path, row: int, name: str, cuts: bool) -> Clip:
    held = line[fields.audio]
    named = held.get("path") if isinstance(held, Mapping) else held
    identity = words_of(line, fields.id) or f"{name}/{row}"
    speaker = words_of(line, fields.speaker) or shard.parent.resolve().name
    audio: Audio
    data = held.get("bytes") if isinstance(held, Mapping) else held
    if isinstance(data, bytes) and data:
        start, seconds = part_of(line, fields, f"{shard} row {row}") if cuts else (0.0, None)
        audio = Cell(shard, row, data, start, seconds)
    elif isinstance(named, str) and named:
        audio = File(shard.parent / named, *part_of(line, fields, f"{shard} row {row}"))
    else:
        raise EvalkitError(f"{shard} row {row} has neither audio nor the path of a file with it.")
    return Clip(identity, speaker, words_of(line, fields.text), audio)
