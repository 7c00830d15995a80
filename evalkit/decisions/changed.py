"""The items that changed most, with what it takes to hear why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evalkit.decisions.scores import Scores
from evalkit.runs.log import Row

PER_COLUMN = 5
_KEPT = ("utterance", "status", "reason", "text", "spoken", "read", "phonemes", "audio", "tags")


def changed_items(
    baseline: Scores, others: Sequence[Scores], columns: Sequence[str], most: int = PER_COLUMN
) -> list[dict[str, Any]]:
    """Per other and column, the items with the largest differences, ours minus theirs, the largest first."""
    return [
        entry
        for index, other in enumerate(others)
        for column in columns
        for entry in _of_column(baseline, other, index, column, most)
    ]


def _of_column(baseline: Scores, other: Scores, index: int, column: str, most: int) -> list[dict[str, Any]]:
    ours, theirs = other.values(column), baseline.values(column)
    differences = {item: float(np.mean(ours[item]) - np.mean(theirs[item])) for item in ours.keys() & theirs.keys()}
    largest = sorted((item for item in differences if differences[item]), key=lambda i: (-abs(differences[i]), i))
    entries = []
    for item in largest[:most]:
        row, other_row = _typical(other.rows, item, column), _typical(baseline.rows, item, column)
        entries.append(
            {
                "other": index,
                "column": column,
                "item": item,
                "difference": differences[item],
                "text": row.get("text") or other_row.get("text"),
                "ours": _excerpt(row, column),
                "theirs": _excerpt(other_row, column),
            }
        )
    return entries


def _typical(rows: Sequence[Row], item: str, column: str) -> Row:
    """The repeat that lies nearest to the item's mean."""
    repeats = [row for row in rows if row["item"] == item and row.get(column) is not None]
    mean = np.mean([row[column] for row in repeats])
    return min(repeats, key=lambda row: abs(row[column] - mean))


def _excerpt(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    details = row.get("details") or {}
    return {
        **{name: row.get(name) for name in _KEPT},
        "value": row[column],
        "heard": details.get("heard"),
        "entities": [
            {"spelling": one.get("spelling"), "right": one.get("right")} for one in details.get("entities") or ()
        ],
    }
