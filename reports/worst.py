"""The worst utterances of each main column, with everything needed to hear and see why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.clips import Clip, ClipReader
from reports.columns import DIRECTION
from reports.values import decimals, is_number, number, signed
from reports.worddiff import Piece, word_diff

_PER_COLUMN = 5


@dataclass(frozen=True)
class Decision:
    """What the pronunciation judge decided about one entity."""

    spelling: str
    answer: str  # right, wrong, undecided
    margin: str
    best: str


@dataclass(frozen=True)
class Card:
    """One utterance, shown once however many columns name it."""

    anchor: str
    row: Mapping[str, Any]
    clip: Clip
    diff: tuple[Piece, ...] | None
    decisions: tuple[Decision, ...]
    scores: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entry:
    """A place in a column's list. `card` is None where an earlier column's list already shows it."""

    utterance: str
    anchor: str
    value: str
    card: Card | None


@dataclass(frozen=True)
class WorstList:
    column: str
    unit: str
    direction: str
    entries: tuple[Entry, ...]


def worst_lists(
    summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Sequence[str], clips: ClipReader
) -> list[WorstList]:
    """The worst five per column, as the summary names them, without any that has the best value there is."""
    by_id = {row["utterance"]: row for row in rows}
    shown: set[str] = set()
    lists = []
    for name in columns:
        column = summary["columns"][name]
        digits = decimals(column)
        candidates = [by_id[key] for key in column.get("worst") or () if key in by_id]
        entries = []
        for row in [row for row in candidates if not _perfect(row.get(name), column)][:_PER_COLUMN]:
            key = row["utterance"]
            card = None if key in shown else _card(row, summary, columns, clips)
            shown.add(key)
            entries.append(Entry(key, _anchor(key), number(row.get(name), digits), card))
        lists.append(WorstList(name, column["unit"], DIRECTION[column["better"]], tuple(entries)))
    return lists


def _perfect(value: object, column: Mapping[str, Any]) -> bool:
    low, high = column.get("range") or (None, None)
    return is_number(value) and value == (high if column["better"] == "higher" else low)


def _card(row: Mapping[str, Any], summary: Mapping[str, Any], columns: Sequence[str], clips: ClipReader) -> Card:
    details = row.get("details") or {}
    expected, heard = row.get("spoken") or row.get("text"), details.get("heard")
    return Card(
        anchor=_anchor(row["utterance"]),
        row=row,
        clip=clips.read(row),
        diff=tuple(word_diff(expected, heard)) if expected and heard is not None else None,
        decisions=tuple(_decision(entity) for entity in details.get("entities") or ()),
        scores=tuple((name, number(row.get(name), decimals(summary["columns"][name]))) for name in columns),
    )


def _decision(entity: Mapping[str, Any]) -> Decision:
    right = entity.get("right")
    answer = "undecided" if right is None else "right" if right else "wrong"
    return Decision(str(entity["spelling"]), answer, signed(entity.get("margin"), 2), entity.get("best") or "")


def _anchor(utterance: str) -> str:
    return f"u-{utterance}".replace(" ", "_")
