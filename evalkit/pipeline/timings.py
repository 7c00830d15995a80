"""Columns that the pipeline itself measures while an engine speaks."""

from __future__ import annotations

import math

from metrics import Column

TIMINGS = {
    column.name: column
    for column in (
        Column("rtf", "s/s", "lower", (0.0, math.inf), "synthesis time divided by the audio's duration"),
        Column("total_s", "s", "lower", (0.0, math.inf), "synthesis time of the utterance, its share of the batch"),
        Column("first_chunk_s", "s", "lower", (0.0, math.inf), "time to the first chunk of streamed audio"),
    )
}
