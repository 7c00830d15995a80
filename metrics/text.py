"""One form for everything that sounds the same in Indian English, for both sides of a word error rate.

`normalize("Rs. 18,00,000 per cent")`, `normalize("eighteen lakh rupees percent")` -> "1800000 rupees percent".

It joins the spellings and contractions that the English normaliser of openai-whisper joins, without what that one
spoils: words in brackets stay, a possessive 's is no "is", "um" is heard and "mm" may be millimetres, and scripts
other than Latin keep their vowel signs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

from metrics.text_numbers import COMMA, SMALL, STOP, ordinal, to_digits
from metrics.text_spelling import spelled
from metrics.text_written import MONTHS, expand

NORMALIZER_VERSION = "en-IN 3"

_SAME = {
    "capt": "captain",
    "cent": "cents",
    "dept": "department",
    "doctor": "dr",
    "dollar": "dollars",
    "euro": "euros",
    "govt": "government",
    "hon'ble": "honorable",
    "hrs": "hours",
    "ltd": "limited",
    "missus": "mrs",
    "mister": "mr",
    "ms": "miss",
    "oclock": "o'clock",
    "paisa": "paise",
    "pound": "pounds",
    "professor": "prof",
    "pvt": "private",
    "rupee": "rupees",
    "shree": "shri",
    "shrimati": "smt",
    "sri": "shri",
    "srimati": "smt",
}
_MOST_PASSES = 8
_CURRENCIES = {"rupees": "paise", "dollars": "cents", "euros": "cents", "pounds": "pence"}  # with their hundredths
_NOT_JOINED = "dr mr mrs ms rs smt"  # a title, or rupees, is not said as its letters are
_BREAKS = ",;:.?!…–—()।"
# "MS Dhoni" is said as "M. S. Dhoni" is; not so "MS. SHARMA", "MS SHARMA", "RS 50" and "50 RS".
_NO_RUPEES = rf"(?<!\d )RS(?! (?:\d|(?:{'|'.join(SMALL)})\b))"
_INITIALS = re.compile(rf"\b(?:DR|MR|MS|{_NO_RUPEES})\b(?!\.\s?\w| [A-Z]{{2}})")


@lru_cache(maxsize=1 << 14)  # references and names come again with every repeat
def normalize(text: str) -> str:
    """Lower-case words and digits, separated by one blank; applied twice it changes nothing more.

    Numbers become digits whether they were written or spoken, amounts "N rupees", initials one word, titles their short
    form, contractions full words. Initials that would make a title or rupees stay apart, also where they were written
    together in capitals: "MS Dhoni" and "M. S. Dhoni" -> "m s dhoni". Numbers, amounts and dates stay different where
    they differ. Latin letters lose their accents; of other scripts only the punctuation is removed.
    """
    before, text = "", _unaccented(_INITIALS.sub(lambda match: " ".join(match[0]), text).lower())
    for _ in range(_MOST_PASSES):  # what one pass wrote, or took away between two words, the next may read
        if text == before:
            break
        before, text = text, _pass(text)
    return text


def _unaccented(text: str) -> str:
    return unicodedata.normalize("NFC", re.sub("([a-z])[\u0300-\u036f]+", r"\1", unicodedata.normalize("NFD", text)))


def _pass(text: str) -> str:
    tokens = [_one_form(token) for token in _words(expand(text))]
    return " ".join(_dates(_money(_letters(_meridiem(to_digits(tokens))))))


def _one_form(token: str) -> str:
    if token in _SAME:
        return _SAME[token]
    word, apostrophe, ending = token.partition("'")
    return spelled(word) + apostrophe + ending


def _words(text: str) -> list[str]:
    """Split at blanks and punctuation, of which what breaks a sentence becomes a token: `COMMA` or `STOP`.

    An apostrophe inside a word and the point of a decimal belong to it.
    """
    kept = (character if _in_word(text, place) else _between_words(text, place) for place, character in enumerate(text))
    return "".join(kept).split()


def _between_words(text: str, place: int) -> str:
    """What becomes of punctuation: only beside a blank is it a break, and the point of an initial is none."""
    character, before, after = text[place], text[max(place - 2, 0) : place], text[place + 1 : place + 2]
    inside = before[-1:].strip() and after.strip()
    if character not in _BREAKS or inside or (character == "." and re.search(r"\b[a-z]$", before)):
        return " "
    return f" {COMMA if character == ',' else STOP} "


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


def _letters(tokens: Sequence[str]) -> list[str]:
    """ "k r subramanian" -> "kr subramanian", as "K.R." and "KR" are; what would make a title stays apart."""
    out: list[str] = []
    for single, group in groupby(tokens, lambda token: len(token) == 1 and "a" <= token <= "z"):
        letters = list(group)
        out += ["".join(letters)] if single and "".join(letters) not in _NOT_JOINED.split() else letters
    return out


def _money(tokens: Sequence[str]) -> list[str]:
    """ "rupees 500" -> "500 rupees", "99 rupees and 50 paise" and "99.5 rupees" -> "99.50 rupees"."""
    out = list(tokens)
    for place in range(len(out) - 1):
        before = out[place - 1] if place else ""
        if out[place] in _CURRENCIES and _is_number(out[place + 1]) and not _is_number(before):
            out[place : place + 2] = out[place + 1], out[place]
    for place in range(len(out) - 1, 0, -1):
        if out[place] in _CURRENCIES:
            hundredths, length = _hundredths(out[place + 1 : place + 4], _CURRENCIES[out[place]])
            if hundredths and out[place - 1].isdecimal():
                out[place - 1] += hundredths
                del out[place + 1 : place + 1 + length]
            out[place - 1] = _in_hundredths(out[place - 1])
    return out


def _hundredths(rest: Sequence[str], unit: str) -> tuple[str, int]:
    """What follows a whole amount: "and 50 paise" -> ".50", and how many tokens that was; else "", 0."""
    match rest:
        case ["and", number, word, *_] | [number, word, *_] if word == unit and re.fullmatch("[0-9]{1,2}", number):
            return f".{int(number):02d}", 3 if rest[0] == "and" else 2
    return "", 0


def _in_hundredths(token: str) -> str:
    """ "99.5" -> "99.50", "18.00" -> "18"; other tokens as they are."""
    whole, point, decimals = token.partition(".")
    if not point or not _is_number(token) or len(decimals.rstrip("0")) > 2:
        return token
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals:0<2}" if decimals else whole


def _dates(tokens: Sequence[str]) -> list[str]:
    """ "12 august" and "12th august" -> "12th august"; likewise after the month."""
    out, months = list(tokens), frozenset(MONTHS)
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
