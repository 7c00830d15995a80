"""Where the names of a sentence are in a string of phones, and whether their phones are an accepted reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.phones import BOUNDARY, Phones, adds_nothing

# An edit costs 1. A name read in no accepted way costs less, whatever stands in its place: only a name without an edit,
# inside it or at its borders, is cheaper as one of its readings.
MISREAD = 0.5


@dataclass(frozen=True)
class Slot:
    """A place of a sentence. readings: folded phones (see `metrics.phones.fold`), () where nobody knows how it is read;
    name: whether it is to be told if it was read right; words: how many words it is written as."""

    readings: tuple[tuple[str, ...], ...]
    name: bool = False
    words: int = 1


@dataclass(frozen=True, order=True)
class _Path:
    """The cheapest way to a place in the phones. rights: of the names before it. Among equals the first misread."""

    cost: float
    rights: tuple[bool, ...] = ()

    def plus(self, cost: float) -> _Path:
        return _Path(self.cost + cost, self.rights)


def align(phones: Sequence[Phones], slots: Sequence[Slot]) -> tuple[bool, ...]:
    """Whether each name was read right, in order, by the alignment with the fewest edits.

    phones: what was read, with `BOUNDARY` between words or without (see `metrics.phones.heard_phones`).
    """
    column = _read(phones, [_Path(0.0)] + [_Path(math.inf)] * len(phones), ())
    for number, slot in enumerate(slots):
        if number:
            column = _boundary(phones, column)
        column = _through(phones, column, slot)
    return column[-1].rights


def _through(phones: Sequence[Phones], column: list[_Path], slot: Slot) -> list[_Path]:
    """The column after a slot: entry j is the cheapest path whose slots so far cover the first j phones."""
    ways = [_read(phones, column, reading) for reading in slot.readings]
    if slot.name:
        ways = [[_Path(path.cost, (*path.rights, True)) for path in way] for way in ways]
        anything = _anything(phones, column, slot.words)
        ways.append([_Path(path.cost + MISREAD, (*path.rights, False)) for path in anything])
    elif not ways:
        ways = [_anything(phones, column, slot.words)]
    return [min(paths) for paths in zip(*ways, strict=True)]


def _read(phones: Sequence[Phones], column: list[_Path], reading: Sequence[str]) -> list[_Path]:
    """The column after a reading, by edits (Wagner and Fischer 1974)."""
    column = _with_insertions(phones, column)
    for expected in reading:
        kept = [path.plus(expected not in heard) for path, heard in zip(column, phones, strict=False)]
        deleted = [path.plus(1) for path in column]
        column = _with_insertions(phones, [deleted[0], *map(min, kept, deleted[1:])])
    return column


def _with_insertions(phones: Sequence[Phones], column: list[_Path]) -> list[_Path]:
    """A phone that adds nothing to the one before it is inserted for nothing."""
    after = column[:1]
    for place, path in enumerate(column[1:]):
        costs = not (place and adds_nothing(phones[place], phones[place - 1]))
        after.append(min(path, after[place].plus(costs)))
    return after


def _anything(phones: Sequence[Phones], column: list[_Path], words: int) -> list[_Path]:
    """The column after a stretch of any length that has no more boundaries than its words."""
    after: list[_Path] = []
    for end in range(len(phones) + 1):
        start, boundaries = end, 0
        best = column[end]
        while start and boundaries + (phones[start - 1] == BOUNDARY) < words:
            start -= 1
            boundaries += phones[start] == BOUNDARY
            best = min(best, column[start])
        after.append(best)
    return after


def _boundary(phones: Sequence[Phones], column: list[_Path]) -> list[_Path]:
    """The column after a boundary between words, which may be missing."""
    return [
        min(path, column[place - 1]) if place and phones[place - 1] == BOUNDARY else path
        for place, path in enumerate(column)
    ]
