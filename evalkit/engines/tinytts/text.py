"""The front end of tinytts: letters and a little punctuation. How they are pronounced is in the weights."""

from __future__ import annotations

import re

START, END = "^", "$"
SYMBOLS = START + END + " ',.?" + "abcdefghijklmnopqrstuvwxyz"
PHONES = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih",
    "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "pau", "r", "s", "sh", "t", "th", "uh", "uw", "v",
    "w", "y", "z", "zh",
)  # fmt: skip

_REPLACED = str.maketrans({
    "’": "'", "‘": "'", "!": ".", ";": ",", ":": ",", "-": " ", "–": " ", "—": ",", "/": " ", "…": ".",
    '"': None, "“": None, "”": None, "(": None, ")": None,
})  # fmt: skip
_INITIAL = re.compile(r"\b([a-z])\.(?=\s*\S)")
_INDEX = {symbol: index for index, symbol in enumerate(SYMBOLS)}


def normalise(text: str) -> str:
    """Lower case, one space between words, the full stop after an initial dropped ("K. R. Rao" to "k r rao").

    Symbols that are not in the alphabet stay, so that they can be reported.
    """
    lowered = text.lower().translate(_REPLACED)
    spaced = " ".join(_INITIAL.sub(r"\1 ", lowered).split())
    return re.sub(r"\s+([,.?])", r"\1", spaced)


def unknown_symbols(normalised: str) -> list[str]:
    """Characters outside the alphabet, each once, in order of appearance."""
    return list(dict.fromkeys(symbol for symbol in normalised if symbol not in SYMBOLS or symbol in START + END))


def encode(normalised: str) -> list[int]:
    """Indices into SYMBOLS, between a start and an end symbol."""
    return [_INDEX[symbol] for symbol in START + normalised + END]
