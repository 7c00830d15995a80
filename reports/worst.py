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
    gaps: tuple[tuple[str, str], ...]  # columns without a value here, and why


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
    failures: int  # utterances without speech that count in this column, with nothing to hear


def worst_lists(
    summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Sequence[str], clips: ClipReader
) -> list[WorstList]:
    """The worst five per column that can be listened to; none that has the best value there is."""
    shown: set[str] = set()
    lists = []
    for name in columns:
        column = summary["columns"][name]
        digits = decimals(column)
        scored = [row for row in rows if is_number(row.get(name))]
        spoken = [row for row in scored if row["status"] == "ok" and not _perfect(row[name], column)]
        entries = []
        for row in sorted(spoken, key=lambda row: _badness(row, name, column["better"]))[:_PER_COLUMN]:
            key = row["utterance"]
            card = None if key in shown else _card(row, summary, columns, clips)
            shown.add(key)
            entries.append(Entry(key, _anchor(key), number(row[name], digits), card))
        failures = sum(row["status"] != "ok" for row in scored)
        lists.append(WorstList(name, column["unit"], DIRECTION[column["better"]], tuple(entries), failures))
    return lists


def _badness(row: Mapping[str, Any], name: str, better: str) -> tuple[float, float]:
    """Sorts the worst first. Among equally wrong pronunciations, the clearest mistake."""
    margin = row.get("pronunciation_margin") if name == "pronunciation_accuracy" else None
    return (-row[name] if better == "lower" else row[name], margin if is_number(margin) else 0.0)


def _perfect(value: float, column: Mapping[str, Any]) -> bool:
    low, high = column.get("range") or (None, None)
    return value == (low if column["better"] == "lower" else high)


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
        gaps=tuple((name, _why_missing(row, name)) for name in columns if not is_number(row.get(name))),
    )


def _why_missing(row: Mapping[str, Any], name: str) -> str:
    return (row.get("missing") or {}).get(name) or "no reason was given"


def _decision(entity: Mapping[str, Any]) -> Decision:
    right = entity.get("right")
    answer = "undecided" if right is None else "right" if right else "wrong"
    return Decision(str(entity["spelling"]), answer, signed(entity.get("margin"), 2), entity.get("best") or "")


def _anchor(utterance: str) -> str:
    return f"u-{utterance}".replace(" ", "_")
