"""Gather what figures are made of: one speaker after the other, or a column of the whole set at a time."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evalkit.diagnostics.training.rows import EVIDENCE, Floats, batches, evidence
from evalkit.diagnostics.training.speech_levels import COLUMNS as SPEECH
from evalkit.diagnostics.training.tables import database

ENERGY = ("energy_active_frames", "energy_mean_db", "energy_std_db")
HISTOGRAMS = (
    *("energy_clip_db", "energy_std_db", "dnsmos_ovrl", "wada_snr_db", "seconds", "f0_median_hz", "speaking_rate"),
)
_OTHERS = ("f0_range_st", "silence_ratio", "clipping_ratio", "bandwidth_hz", "words", "sample_rate")
COLUMNS = tuple(dict.fromkeys((*ENERGY, *SPEECH, *HISTOGRAMS, *_OTHERS)))
_TOTALS = (*EVIDENCE, "speaker", "seconds", "text")
_BETWEEN = re.compile(r"[\s–—…/]+")


class Numbers(Protocol):
    """Columns of the clips that are evidence (`rows.evidence`) as float64, NaN where there is no value."""

    def together(self, *columns: str) -> list[Floats]:
        """Several columns of the same clips."""
        ...


@dataclass
class Totals:
    """Of everything in the set. distinct: clips that are evidence, whose texts alone count.

    parts: what stands between blanks in the texts, so that each is looked at once.
    """

    clips: int = 0
    distinct: int = 0
    seconds: float = 0.0
    copies: int = 0
    unreadable: int = 0
    _parts: set[str] = field(default_factory=set)

    def add(self, batch: Any, first: Any) -> None:
        """first: what of the batch is evidence."""
        self.clips += batch.num_rows
        self.distinct += first.num_rows
        self.copies += batch.num_rows - batch.column("copy_of").null_count
        self.unreadable += batch.num_rows - batch.column("problem").null_count
        self.seconds += float(np.nansum(_floats(batch, "seconds")))
        for text in first.column("text").to_pylist():
            if text:
                self._parts.update(_BETWEEN.split(text.casefold()))

    def unique_words(self) -> int:
        """Words as they are written, without case and punctuation. What is kept grows with the vocabulary alone."""
        return len({word for part in self._parts if (word := _bare(part))})


class Held:
    """All columns of one speaker, in memory."""

    def __init__(self) -> None:
        self._columns = {column: array("d") for column in COLUMNS}

    def add(self, first: Any) -> None:
        for column, values in self._columns.items():
            values.frombytes(_floats(first, column).tobytes())

    def together(self, *columns: str) -> list[Floats]:
        return [np.frombuffer(self._columns[column], dtype=np.float64) for column in columns]


class Whole:
    """Columns of the whole set, read when they are asked for, so that those in use alone take memory."""

    def __init__(self, clips: Path, near: Set[int]) -> None:
        self._clips = clips
        self._near = near

    def together(self, *columns: str) -> list[Floats]:
        parts: list[list[Floats]] = [[] for _ in columns]
        for batch in batches(self._clips, list(dict.fromkeys((*columns, *EVIDENCE)))):
            first = evidence(batch, self._near)
            for part, column in zip(parts, columns, strict=True):
                part.append(_floats(first, column))
        return [np.concatenate(part) if part else np.empty(0) for part in parts]


def of_speaker(clips: Path, speaker: str, near: Set[int]) -> tuple[Totals, Numbers]:
    totals, numbers = Totals(), Held()
    for batch in batches(clips, _wanted(), speaker):
        first = evidence(batch, near)
        totals.add(batch, first)
        numbers.add(first)
    return totals, numbers


def of_all(clips: Path, near: Set[int]) -> tuple[Totals, Numbers]:
    totals = Totals()
    for batch in batches(clips, _TOTALS):
        totals.add(batch, evidence(batch, near))
    return totals, Whole(clips, near)


def of_each(clips: Path, near: Set[int]) -> Iterator[tuple[str, Totals, Numbers]]:
    """Every speaker in the order of their names, however their clips are mixed in the set, in one pass."""
    name: str | None = None
    totals, numbers = Totals(), Held()
    with _by_speaker(clips) as ordered:
        for batch in batches(ordered, _wanted()):
            for part in _runs(batch):
                if (here := part.column("speaker")[0].as_py()) != name:
                    if name is not None:
                        yield name, totals, numbers
                    name, totals, numbers = here, Totals(), Held()
                first = evidence(part, near)
                totals.add(part, first)
                numbers.add(first)
    if name is not None:
        yield name, totals, numbers


def words(text: str) -> list[str]:
    """The words of a text, case folded and without punctuation around them. (Normalising spoken forms is too slow.)"""
    return [word for part in _BETWEEN.split(text.casefold()) if (word := _bare(part))]


def _bare(part: str) -> str:
    return part if part.isalnum() else part.strip(_punctuation()).replace("’", "'")


@lru_cache(maxsize=1)
def _punctuation() -> str:
    return "".join(c for c in map(chr, range(0x3100)) if unicodedata.category(c)[0] in "PSZC")


def _wanted() -> Sequence[str]:
    return list(dict.fromkeys((*_TOTALS, *COLUMNS)))


def _floats(batch: Any, column: str) -> Floats:
    return np.asarray(batch.column(column).cast("float64").to_numpy(zero_copy_only=False), dtype=np.float64)


def _runs(batch: Any) -> Iterator[Any]:
    """Parts of a batch that are of one speaker."""
    names = batch.column("speaker").to_pylist()
    starts = [place for place, name in enumerate(names) if place == 0 or name != names[place - 1]]
    for first, after in zip(starts, [*starts[1:], len(names)], strict=True):
        yield batch.slice(first, after - first)


@contextmanager
def _by_speaker(clips: Path) -> Iterator[Path]:
    """The table in the order of its speakers, each one's clips in the order of the set; on disk while it is in use."""
    ordered = clips.with_name(f".{clips.stem}-by-speaker.parquet")
    columns = ", ".join(f'"{column}"' for column in _wanted())
    source, target = (str(path).replace("'", "''") for path in (clips, ordered))
    try:
        with database(clips.parent) as connection:
            connection.execute(
                f"COPY (SELECT {columns} FROM read_parquet('{source}', file_row_number = true) "
                f"ORDER BY speaker, file_row_number) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 20000)"
            )
        yield ordered
    finally:
        ordered.unlink(missing_ok=True)
