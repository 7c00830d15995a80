"""The names in a normalised text, and the other spellings in which a judge may have heard them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metrics.base import Entity
from metrics.pronunciation import words_of
from metrics.text import normalize

_POSSESSIVE = "'s"


@dataclass(frozen=True)
class Place:
    """One occurrence of an entity: the words `start:end` of the normalised reference.

    written: every form of it that is right there, its own first, letters only (without the blanks between words).
    """

    entity: Entity
    start: int
    end: int
    written: tuple[str, ...]


def places(text: str, words: Sequence[str], entities: Sequence[Entity]) -> list[Place]:
    """Where the entities stand in `words`, which is `normalize(text)` split at blanks.

    One that normalises differently alone than inside the text (its last word being part of a longer number there) is
    not found.
    """
    found: list[Place] = []
    end = 0
    for word in words_of(text, entities):
        if word.entity is None:
            continue
        suffix = _POSSESSIVE if word.possessive else ""
        form = normalize(word.text + suffix).split()
        start = _find(form, words, end)
        if form and start is not None:
            end = start + len(form)
            spellings = (word.entity.spelling, *word.entity.spellings)
            found.append(Place(word.entity, start, end, tuple(_letters(spelling + suffix) for spelling in spellings)))
    return found


def spelled_at(place: Place, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield each `start, end` of `words` that spells the entity in an accepted way, wherever its blanks are."""
    for start in range(len(words)):
        letters = ""
        for end in range(start, len(words)):
            letters += words[end]
            if letters in place.written:
                yield start, end + 1
            if not any(written.startswith(letters) for written in place.written):
                break


def _letters(spelling: str) -> str:
    return normalize(spelling).replace(" ", "")


def _find(form: Sequence[str], words: Sequence[str], at: int) -> int | None:
    fits = (start for start in range(at, len(words) - len(form) + 1) if list(words[start : start + len(form)]) == form)
    return next(fits, None)
