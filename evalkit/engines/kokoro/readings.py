"""Where in a text the words stand whose reading is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """A stretch of text; phonemes where its reading is given."""

    text: str
    phonemes: str | None = None


def split(text: str, readings: Mapping[str, str]) -> list[Piece]:
    """The text in pieces, whole words only, the longest spelling first. readings: spelling -> phonemes."""
    if not readings:
        return [Piece(text)]
    spellings = sorted(readings, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings))})(?!\w)")
    pieces: list[Piece] = []
    last = 0
    for match in pattern.finditer(text):
        pieces += [Piece(text[last : match.start()]), Piece(match[0], readings[match[0]])]
        last = match.end()
    return [piece for piece in [*pieces, Piece(text[last:])] if piece.text]


def join(pieces: list[Piece], speak: Callable[[str], str]) -> str:
    """Phonemes of all pieces: `speak` reads those without a reading; blanks between pieces stay.

    The possessive of a word with a reading follows the sound that it ends in.
    """
    spoken = ""
    for piece in pieces:
        if piece.phonemes is not None:
            spoken += piece.phonemes
            continue
        text = piece.text
        if spoken and re.match(r"['’]s(?!\w)", text):
            spoken += possessive(spoken)
            text = text[2:]
        before = " " if text[:1].isspace() else ""
        after = " " if text[-1:].isspace() and text.strip() else ""
        spoken += before + (speak(text.strip()) if text.strip() else "") + after
    return " ".join(spoken.split())


def possessive(phonemes: str) -> str:
    last = phonemes[-1]
    if last in "szʃʒʧʤ":
        return "ɪz"
    return "s" if last in "ptkfθ" else "z"
