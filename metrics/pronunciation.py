"""What every pronunciation judge shares: the names in a sentence, and the decision from a margin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from metrics.base import Entity

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Word:
    """A word of a sentence, or an entity in it (which may be several words). possessive: "'s" follows the entity."""

    text: str
    entity: Entity | None = None
    possessive: bool = False


def words_of(text: str, entities: Sequence[Entity]) -> list[Word]:
    """Split a sentence into plain words (lower case, without punctuation) and its entities, in order.

    Entities are found whatever their case; where two overlap, the longer one counts. One that occurs twice is there
    twice, one that does not occur is not there.
    """
    text = text.replace("’", "'")
    by_spelling = {entity.spelling.lower().replace("’", "'"): entity for entity in entities}
    longest_first = sorted(by_spelling, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first)) or r"(?!)"
    words: list[Word] = []
    end = 0
    for match in re.finditer(rf"(?<!\w)({names})('s)?(?!\w)", text, re.IGNORECASE):
        words += _plain(text[end : match.start()])
        # Not by_spelling[match[1].lower()]: a dotless i matches "i" whatever its case, and is another letter.
        spelling = next(name for name in longest_first if re.fullmatch(re.escape(name), match[1], re.IGNORECASE))
        words.append(Word(match[1].lower(), by_spelling[spelling], possessive=bool(match[2])))
        end = match.end()
    return words + _plain(text[end:])


def _plain(text: str) -> list[Word]:
    return [Word(word) for word in _WORD.findall(text.lower())]
