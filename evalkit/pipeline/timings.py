"""Columns that the pipeline itself measures while an engine speaks, and what they mean in each way of speaking."""

from __future__ import annotations

import math
from typing import Literal

from metrics import Column

Mode = Literal["batch", "single", "stream"]
"""How utterances are spoken when they are timed: many at once; one at a time; one at a time, in chunks."""


def timing_columns(mode: Mode) -> dict[str, Column]:
    """Name -> column. The same name has another meaning in another mode, which its description says."""
    return {column.name: column for column in _COLUMNS[mode]}


def _column(name: str, unit: str, description: str) -> Column:
    return Column(name, unit, "lower", (0.0, math.inf), description)


_COLUMNS: dict[Mode, tuple[Column, ...]] = {
    "batch": (
        _column("rtf", "s/s", "the utterance's share of its batch's synthesis time, divided by the audio's duration"),
        _column("total_s", "s", "the utterance's share of its batch's synthesis time; not a latency"),
    ),
    "single": (
        _column("first_chunk_s", "s", "request to first audio; without streaming it is there when all of it is"),
        _column("rtf", "s/s", "total_s divided by the audio's duration"),
        _column("total_s", "s", "request to the end of the audio, spoken alone"),
    ),
    "stream": (
        _column("first_chunk_s", "s", "request to the first chunk of audio, spoken alone"),
        _column("first_chunk_rtf", "s/s", "first_chunk_s divided by the first chunk's duration"),
        _column("second_chunk_rtf", "s/s", "time from the first chunk to the second, divided by the second's duration"),
        _column("rtf", "s/s", "total_s divided by the audio's duration"),
        _column("total_s", "s", "request to the end of the stream, spoken alone"),
    ),
}
