"""What should be heard against what the judge heard, word by word."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

_WORD = re.compile(r"[^\s\-‐‑–—]+")


@dataclass(frozen=True)
class Piece:
    """A stretch of words: heard as expected, missed (expected, not heard) or extra (heard, not expected)."""

    kind: Literal["same", "missed", "extra"]
    text: str


def word_diff(expected: str, heard: str) -> list[Piece]:
    """The two texts as one sequence of stretches; case and punctuation do not count as differences."""
    before, after = _words(expected), _words(heard)
    matcher = difflib.SequenceMatcher(None, [_bare(w) for w in before], [_bare(w) for w in after], autojunk=False)
    pieces = []
    for operation, i, j, k, m in matcher.get_opcodes():
        if operation == "equal":
            pieces.append(Piece("same", " ".join(after[k:m])))
            continue
        if j > i:
            pieces.append(Piece("missed", " ".join(before[i:j])))
        if m > k:
            pieces.append(Piece("extra", " ".join(after[k:m])))
    return pieces


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if _bare(word)]


def _bare(word: str) -> str:
    """Without case and punctuation. Marks stay: in Indic scripts they are the vowels."""
    return "".join(c for c in unicodedata.normalize("NFC", word).casefold() if unicodedata.category(c)[0] in "LMN")
