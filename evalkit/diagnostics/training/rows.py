"""Reading `clips.parquet` and `checks.parquet`: numbers of one speaker, or rows one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.errors import EvalkitError
from evalkit.registry import unknown

ROWS = 4096  # read at once
DROPPED = ("unreadable", "copy", "near copy", "wrong speaker", "transcript", "clipped", "noisy", "too short")
"""Flags that take a clip out of a training set by default: it teaches something wrong, or nothing.

Not "quiet", "loud" (level is variety, which the verdict counts), "silence", "too long" (better cut than dropped), nor
"upsampled" (often the whole of a speaker).
"""

Floats = npt.NDArray[np.float64]


EVIDENCE = ("id", "problem", "copy_of")
"""The columns by which `evidence` tells."""


def batches(clips: Path, columns: Sequence[str], speaker: str | None = None) -> Iterator[Any]:
    """Record batches of a table of clips in its order, of one speaker or of all."""
    import pyarrow.dataset as ds

    wanted = ds.field("speaker") == speaker if speaker is not None else None
    scanner = ds.dataset(clips, format="parquet").scanner(
        columns=list(columns),
        filter=wanted,
        batch_size=ROWS,
        batch_readahead=0,
        fragment_readahead=0,
        use_threads=False,
    )
    yield from (batch for batch in scanner.to_batches() if batch.num_rows)


def evidence(batch: Any, near: Set[int]) -> Any:
    """The rows of a batch with the columns EVIDENCE that figures rest on: readable, and the first of their recording.

    Audio that is there twice, to the byte or nearly, is no further evidence. near: `near_copies_in`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    there = pc.and_(batch.column("problem").is_null(), batch.column("copy_of").is_null())
    if near:
        there = pc.and_(there, pa.array([hash(name) not in near for name in batch.column("id").to_pylist()]))
    return batch.filter(there)


def near_copies_in(checks: Path | None) -> frozenset[int]:
    """Hashes of the ids of all near copies: what is held of each is a number, and no text."""
    if checks is None:
        return frozenset()
    return frozenset(
        hash(name)
        for batch in batches(checks, ["id", "near_copy_of"])
        for name in batch.filter(batch.column("near_copy_of").is_valid()).column("id").to_pylist()
    )


def has_column(clips: Path, column: str) -> bool:
    import pyarrow.parquet as pq

    return column in pq.read_schema(clips).names


def rows(clips: Path, checks: Path | None, columns: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Every clip in the order of the set: id, speaker, problem, copy_of, `columns`, and `flags` with what checks found.

    An unreadable clip and a copy are flagged as such without checks too. Of checks near_copy_of, speaker_cosine,
    nearest_speaker and transcript (what is wrong with the text) are in the row. Raises EvalkitError when the checks are
    of other clips.
    """
    wanted = list(dict.fromkeys(("id", "speaker", "problem", "copy_of", *columns)))
    found = _checked(checks)
    check = next(found, None)
    for batch in batches(clips, wanted):
        for row in batch.to_pylist():
            mine = check if check is not None and check["id"] == row["id"] else None
            if mine is not None:
                check = next(found, None)
            yield row | _about(mine) | {"flags": _flags(row, mine)}
    if check is not None:
        raise EvalkitError(f"{checks} is not of the clips in {clips} ('{check['id']}'): run diagnose again.")


_CHECKED = ("near_copy_of", "speaker_cosine", "nearest_speaker", "transcript")


def _checked(checks: Path | None) -> Iterator[dict[str, Any]]:
    if checks is not None:
        for batch in batches(checks, ["id", "flags", *(name for name in _CHECKED if has_column(checks, name))]):
            yield from batch.to_pylist()


def _about(check: dict[str, Any] | None) -> dict[str, Any]:
    return {name: check.get(name) if check else None for name in _CHECKED}


def _flags(row: dict[str, Any], check: dict[str, Any] | None) -> list[str]:
    flags = list((check or {}).get("flags") or ())
    if row["problem"] is not None:
        flags.append("unreadable")
    if row["copy_of"] is not None:
        flags.append("copy")
    return list(dict.fromkeys(flags))


def known_flags(flags: Iterable[str]) -> frozenset[str]:
    """The flags that a user names. Raises EvalkitError for one that does not exist."""
    from evalkit.diagnostics.training.flags import KINDS  # which reads the clips with what is here

    given = frozenset(flags)
    if wrong := sorted(given - set(KINDS)):
        raise EvalkitError(f"--drop: {unknown('flag', wrong[0], list(KINDS))}")
    return given


def all_speakers(clips: Path) -> list[tuple[str, float]]:
    """Every speaker with the hours of audio that could be read, the one with most first."""
    seconds: dict[str, float] = {}
    for batch in batches(clips, ["speaker", "seconds"]):
        for speaker, length in zip(
            batch.column("speaker").to_pylist(), batch.column("seconds").to_pylist(), strict=True
        ):
            seconds[speaker] = seconds.get(speaker, 0.0) + (length or 0.0)
    return sorted(((name, total / 3600) for name, total in seconds.items()), key=lambda one: (-one[1], one[0]))
