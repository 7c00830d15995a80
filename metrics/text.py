"""One form for everything that sounds the same in Indian English, for both sides of a word error rate.

`normalize("Rs. 18,00,000 per cent")`, `normalize("eighteen lakh rupees percent")` -> "1800000 rupees percent".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from metrics.text_numbers import ordinal, to_digits

NORMALIZER_VERSION = "en-IN 1"

_MONTHS = "january february march april may june july august september october november december"
_SAME = {
    "mister": "mr",
    "missus": "mrs",
    "doctor": "dr",
    "professor": "prof",
    "shrimati": "smt",
    "srimati": "smt",
    "sri": "shri",
    "shree": "shri",
    "rupee": "rupees",
    "inr": "rupees",
    "rs": "rupees",
    "oclock": "o'clock",
}
_MOST_PASSES = 8
_CURRENCIES = frozenset({"rupees", "dollars", "pounds", "euros"})
_AMOUNT = r"\d{1,3}(?:,\d{2,3})+"

# In this order; what an earlier rule wrote, a later one may rewrite.
_WRITTEN: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile("[‘’ʼ`´]"), "'"),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), " minus "),
    (re.compile(rf"(?<![\d,]){_AMOUNT}(?![\d,]*\d)"), lambda match: _ungrouped(match[0])),
    (re.compile(r"(?<!\S)\.(?=\d)"), "0."),
    (re.compile(r"(?<=\d)/-"), " "),
    (re.compile(r"₹|(?<![a-z])(?:rs|inr)(?![a-z])\.?"), " rupees "),
    (re.compile(r"\$"), " dollars "),
    (re.compile(r"£"), " pounds "),
    (re.compile(r"€"), " euros "),
    (re.compile(r"%|\bper cent\b"), " percent "),
    (re.compile(r"&"), " and "),
    (re.compile(r"@"), " at "),
    (re.compile(r"\+\s?(?=\d)"), " plus "),
    (re.compile(r"\bplus 91[ -](\d{5})[ -]?(\d{5})\b"), r"plus 91\1\2"),
    (re.compile(r"(?<![\d-])(\d{5})[ -](\d{5})(?![\d-])"), r"\1\2"),
    (re.compile(r"\b(pin(?: code)?(?: is| number)?:? )(\d{3}) (\d{3})\b"), r"\1\2\3"),
    (re.compile(r"\b(\d{1,2})\.(\d\d)(?=\s?[ap]\.?\s?m\b)"), r"\1:\2"),
    (re.compile(r"\b(\d{1,2}):00(?=\s?[ap]\.?\s?m\b)"), r"\1"),
    (re.compile(r"\b(\d{1,2}):00\b(?!:)"), r"\1 o'clock"),
    (re.compile(r"(?<=\d)\s?([ap])\.?\s?m\b\.?"), r" \1m"),
    (re.compile(r"\bo clock\b"), "o'clock"),
)


def normalize(text: str) -> str:
    """Lower-case words and digits, separated by one blank; applied twice it changes nothing more.

    Numbers become digits whether they were written or spoken, amounts "N rupees", initials single letters, titles
    their short form. Numbers, amounts and dates stay different where they differ. Of other scripts only the punctuation
    is removed.
    """
    before, text = "", unicodedata.normalize("NFC", text.lower())
    for _ in range(_MOST_PASSES):  # what one pass wrote, or took away between two words, the next may read
        if text == before:
            break
        before, text = text, _pass(text)
    return text


def _pass(text: str) -> str:
    for pattern, replacement in _WRITTEN:
        text = pattern.sub(replacement, text)
    tokens = [_SAME.get(token, token) for token in _words(text)]
    return " ".join(_dates(_money(_meridiem(to_digits(tokens)))))


def _ungrouped(amount: str) -> str:
    """ "18,00,000" and "1,800,000" -> "1800000"; a list such as "10,20" keeps its commas."""
    head, *groups = amount.split(",")
    indian = len(head) <= 2 and len(groups[-1]) == 3 and all(len(group) == 2 for group in groups[:-1])
    western = all(len(group) == 3 for group in groups)
    return head + "".join(groups) if indian or western else amount


def _words(text: str) -> list[str]:
    """Split at blanks and punctuation. An apostrophe inside a word and the point of a decimal belong to it."""
    kept = "".join(character if _in_word(text, place) else " " for place, character in enumerate(text))
    return kept.split()


def _in_word(text: str, place: int) -> bool:
    character = text[place]
    if character in "'.":
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        return before.isdecimal() and after.isdecimal() if character == "." else before.isalpha() and after.isalpha()
    # Marks are the vowel signs of Indic scripts, and two joiners shape their letters. Symbols mean something ("c++").
    return unicodedata.category(character)[0] in "LMNS" or character in "\u200c\u200d"


def _meridiem(tokens: Sequence[str]) -> list[str]:
    """ "10 a m" -> "10 am"."""
    out: list[str] = []
    for token in tokens:
        if token == "m" and len(out) > 1 and out[-1] in ("a", "p") and out[-2][0].isdigit():
            out[-1] += "m"
        else:
            out.append(token)
    return out


def _money(tokens: Sequence[str]) -> list[str]:
    """ "rupees 500" -> "500 rupees"."""
    out = list(tokens)
    for place in range(len(out) - 1):
        before = out[place - 1] if place else ""
        if out[place] in _CURRENCIES and _is_number(out[place + 1]) and not _is_number(before):
            out[place : place + 2] = out[place + 1], out[place]
    return out


def _dates(tokens: Sequence[str]) -> list[str]:
    """ "12 august" and "12th august" -> "12th august"; likewise after the month."""
    out, months = list(tokens), frozenset(_MONTHS.split())
    for place, token in enumerate(tokens):
        beside = tokens[max(place - 1, 0) : place + 2]
        if (
            token.isdecimal()
            and token.isascii()
            and len(token) <= 2
            and 1 <= int(token) <= 31
            and not months.isdisjoint(beside)
        ):
            out[place] = ordinal(int(token))
    return out


def _is_number(token: str) -> bool:
    return token[:1].isdecimal() and token.replace(".", "").isdecimal()
