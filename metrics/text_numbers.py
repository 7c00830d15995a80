"""Spoken numbers of Indian and international English, read into digits.

"eighteen lakh forty thousand" -> "1840000", "nine eight double seven" -> "9877", "nineteen ninety eight" -> "1998",
"twelfth" -> "12th". Everything else is left as it stands. No number is read through punctuation, as none is that is
written in digits ("there were thirty, two of them broken"); only "one lakh, eighty thousand" goes on after its comma.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction


def _numbered(words: str, first: int = 0, step: int = 1) -> dict[str, int]:
    return {word: first + step * place for place, word in enumerate(words.split())}


SMALL = _numbered(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
) | _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_ORDINALS = _numbered(
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
) | _numbered("twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth", 20, 10)
_DECADES = _numbered("twenties thirties forties fifties sixties seventies eighties nineties", 20, 10)
SCALES = {
    "thousand": 10**3,
    "lakh": 10**5,
    "lakhs": 10**5,
    "lac": 10**5,
    "lacs": 10**5,
    "million": 10**6,
    "crore": 10**7,
    "crores": 10**7,
    "billion": 10**9,
    "trillion": 10**12,
}
_SCALE_ORDINALS = {f"{word}th": value for word, value in {"hundred": 100, **SCALES}.items()}  # "five thousandth"
_CRORE = 10**7
COMMA, STOP = ",", "."  # tokens that stand for punctuation beside a blank: a comma, and any other
_REPEATS = {"double": 2, "triple": 3}
_OH = ("oh", "o")
_SHORTEST_DIGIT_STRING = 3
_CENTURIES = range(18, 21)
_BEFORE_A_TIME = "about after around at before between by from since till to until"
_LONGEST_TIME = 4  # tokens: "nine oh five" and a digit that begins the next phrase


@dataclass(frozen=True)
class _Read:
    """A number, and the place after its last token."""

    value: Fraction
    end: int
    ordinal: bool = False
    scaled: bool = False  # it had a word for a power of ten, or decimals: it is no digit, no part of a year
    decimals: int = 0  # how many were spoken: "two point five zero" is 2.50, as a version or a price is read


def to_digits(tokens: Sequence[str]) -> list[str]:
    """Replace the words of numbers by digits, and drop the punctuation.

    tokens: lower-case words, numbers without grouping commas, `COMMA` and `STOP`.
    """
    out: list[str] = []
    at = 0
    while at < len(tokens):
        for reader in (_clock, _digit_string, _decade, _year, _plain):
            if read := reader(tokens, at):
                number, at = read
                out += number.split()
                break
        else:
            if tokens[at] not in (COMMA, STOP):
                out.append(tokens[at])
            at += 1
    return out


def _digit_string(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """ "nine eight double seven oh" -> "98770", digits said or written one by one.

    Fewer than three stay apart, unless they begin with a zero: no number does.
    """
    digits = ""
    end = at
    while end < len(tokens):
        times = _REPEATS.get(tokens[end], 1)
        place = end + (times > 1)
        digit = _single(tokens, place)
        if digit is None and (digits or times > 1) and place < len(tokens) and tokens[place] in _OH:
            digit = 0
        if digit is None or _goes_on(tokens, place + 1):
            break
        digits += times * str(digit)
        end = place + 1
    if not digits:
        return None
    joined = len(digits) >= _SHORTEST_DIGIT_STRING or digits.startswith("0")
    return digits if joined else " ".join(digits), end


def _single(tokens: Sequence[str], at: int) -> int | None:
    """A digit in words or written."""
    written = at < len(tokens) and len(tokens[at]) == 1 and _is_written_number(tokens[at])
    return int(tokens[at]) if written else _digit(tokens, at)


def _digit(tokens: Sequence[str], at: int) -> int | None:
    value = SMALL.get(tokens[at]) if at < len(tokens) else None
    return value if value is not None and value < 10 else None


def _goes_on(tokens: Sequence[str], at: int) -> bool:
    """Whether the digit before this place is the beginning of a larger number."""
    scales = ("hundred", "point", *SCALES, *_SCALE_ORDINALS)
    return at < len(tokens) and (tokens[at] in scales or _half(tokens, at))


def _half(tokens: Sequence[str], at: int) -> bool:
    return list(tokens[at : at + 3]) == ["and", "a", "half"]


def _decade(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """ "nineteen nineties" -> "1990s", "nineties" -> "90s"."""
    if tokens[at] in _DECADES:
        return f"{_DECADES[tokens[at]]}s", at + 1
    if at + 1 < len(tokens) and tokens[at + 1] in _DECADES and SMALL.get(tokens[at]) in _CENTURIES:
        return f"{SMALL[tokens[at]]}{_DECADES[tokens[at + 1]]}s", at + 2
    return None


def _year(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """ "nineteen ninety eight" -> "1998", "twenty oh five" -> "2005"."""
    if at + 1 >= len(tokens) or SMALL.get(tokens[at]) not in _CENTURIES:
        return None
    century = SMALL[tokens[at]]
    low = _digit(tokens, at + 2)
    if tokens[at + 1] in _OH and low and not _goes_on(tokens, at + 3):
        return f"{century}0{low}", at + 3
    rest = _below_hundred(tokens, at + 1)
    if rest is None or rest.ordinal or rest.value < 10 or _goes_on(tokens, rest.end):
        return None
    return f"{century}{rest.value}", rest.end


def _clock(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """ "ten oh five", "at nine oh five" and "nine oh five p m" -> "10 05" and "9 05"; "room two oh four" is no time."""
    hour, low = SMALL.get(tokens[at], 0), _digit(tokens, at + 2)
    if not 0 < hour <= 12 or not low or tokens[at + 1] not in _OH or _goes_on(tokens, at + 3):
        return None
    if digits := _digit_string(tokens, at):  # which ten, eleven and twelve do not begin
        before = tokens[at - 1] if at else ""
        told = before in _BEFORE_A_TIME.split() or (before == "and" and at > 3 and _clock(tokens, at - 4) is not None)
        if not ((told and digits[1] - at <= _LONGEST_TIME) or _meridiem(tokens, at + 3)):
            return None
    return f"{hour} 0{low}", at + 3


def _meridiem(tokens: Sequence[str], at: int) -> bool:
    return "".join(tokens[at : at + 1]) in ("am", "pm") or "".join(tokens[at : at + 2]) in ("am", "pm")


def _plain(tokens: Sequence[str], at: int) -> tuple[str, int] | None:
    """A cardinal or ordinal, with lakh, crore and decimals."""
    read = _number(tokens, at)
    if read is None and tokens[at] in _SCALE_ORDINALS:
        return ordinal(_SCALE_ORDINALS[tokens[at]]), at + 1
    if read is None:
        return None
    if tokens[at][0].isdigit() and not read.scaled:
        return None  # written digits stay as they are written: "007"
    return _written(read), read.end


def _number(tokens: Sequence[str], at: int) -> _Read | None:
    """A number of any size. Crores are counted by whole numbers: "three thousand four hundred crore two lakh"."""
    read = _below_crore(tokens, at)
    if read is None or read.ordinal or not _is_crore(tokens, read.end):
        return read
    value, end = read.value, read.end
    while _is_crore(tokens, end):
        value *= _CRORE
        end += 1
    rest = _remainder(tokens, end, _CRORE, _below_crore)
    if rest is None or _is_crore(tokens, rest.end):
        return _Read(value, end, scaled=True)
    return _Read(value + rest.value, rest.end, rest.ordinal, scaled=True)


def _is_crore(tokens: Sequence[str], at: int) -> bool:
    return at < len(tokens) and SCALES.get(tokens[at]) == _CRORE


def _remainder(
    tokens: Sequence[str], at: int, limit: int, reader: Callable[[Sequence[str], int], _Read | None]
) -> _Read | None:
    """What `reader` reads here, after "and" or a comma, if it belongs to the number before it.

    "5 lakh 300" may be two numbers, and so is "in two thousand, five men came": less than a hundred takes no comma.
    """
    joint = tokens[at] if at < len(tokens) and tokens[at] in ("and", COMMA) else ""
    start = at + bool(joint)
    rest = reader(tokens, start)
    if rest is None or (tokens[start][0].isdigit() and not rest.scaled):
        return None
    enough = rest.value >= 100 if joint == COMMA else rest.value > 0
    return rest if enough and rest.value < limit else None


def _below_crore(tokens: Sequence[str], at: int) -> _Read | None:
    """Groups of coefficient and scale, from large to small: "two lakh forty thousand and five"."""
    read = _group(tokens, at)
    while read is not None and not read.ordinal and (limit := SCALES.get(tokens[read.end - 1])):
        rest = _remainder(tokens, read.end, limit, _group)
        if rest is None:
            break
        read = _Read(read.value + rest.value, rest.end, rest.ordinal, scaled=True)
    return read


def _group(tokens: Sequence[str], at: int) -> _Read | None:
    """A coefficient and the scale after it: "two point five lakh", "five thousand million", "two hundredth"."""
    read = _decimal(tokens, at)
    if read is None or read.ordinal:
        return read
    value, end = read.value, read.end
    while end < len(tokens) and SCALES.get(tokens[end], _CRORE) != _CRORE:
        value *= SCALES[tokens[end]]
        end += 1
    if end < len(tokens) and tokens[end] in _SCALE_ORDINALS and value.denominator == 1:
        return _Read(value * _SCALE_ORDINALS[tokens[end]], end + 1, ordinal=True, scaled=True)
    return _Read(value, end, scaled=True) if end > read.end else read


def _decimal(tokens: Sequence[str], at: int) -> _Read | None:
    """Written digits, or words up to 9999, with a fraction: "18", "2.5", "two point five", "two and a half"."""
    written = at < len(tokens) and _is_written_number(tokens[at])
    read = _Read(Fraction(tokens[at]), at + 1) if written else _hundreds(tokens, at)
    if read is None or read.ordinal or read.end >= len(tokens):
        return read
    if _half(tokens, read.end) and read.value.denominator == 1:
        return _Read(read.value + Fraction(1, 2), read.end + 3, scaled=True, decimals=1)
    if written or tokens[read.end] != "point":
        return read
    digits = ""
    end = read.end + 1
    while (digit := 0 if end < len(tokens) and tokens[end] in _OH else _digit(tokens, end)) is not None:
        digits += str(digit)
        end += 1
    if not digits:
        return read
    return _Read(read.value + Fraction(int(digits), 10 ** len(digits)), end, scaled=True, decimals=len(digits))


def _hundreds(tokens: Sequence[str], at: int) -> _Read | None:
    """ "twelve hundred and five", "forty two", "twenty first"."""
    read = _below_hundred(tokens, at)
    if read is None or read.ordinal or read.end >= len(tokens) or tokens[read.end] != "hundred":
        return read
    value, end = read.value * 100, read.end + 1
    start = end + (end < len(tokens) and tokens[end] == "and")
    rest = _below_hundred(tokens, start)
    if rest is None or not rest.value or (rest.end < len(tokens) and tokens[rest.end] == "hundred"):
        return _Read(value, end, scaled=True)
    return _Read(value + rest.value, rest.end, rest.ordinal, scaled=True)


def _below_hundred(tokens: Sequence[str], at: int) -> _Read | None:
    word = tokens[at] if at < len(tokens) else ""
    if word in _ORDINALS:
        return _Read(Fraction(_ORDINALS[word]), at + 1, ordinal=True)
    value = SMALL.get(word)
    if value is None:
        return None
    follower = tokens[at + 1] if at + 1 < len(tokens) else ""
    if value >= 20 and 0 < SMALL.get(follower, 0) < 10:
        return _Read(Fraction(value + SMALL[follower]), at + 2)
    if value >= 20 and 0 < _ORDINALS.get(follower, 0) < 10:
        return _Read(Fraction(value + _ORDINALS[follower]), at + 2, ordinal=True)
    return _Read(Fraction(value), at + 1)


def _is_written_number(token: str) -> bool:
    whole, dot, decimals = token.partition(".")
    return token.isascii() and whole.isdigit() and (decimals.isdigit() if dot else True)


def _written(read: _Read) -> str:
    """Digits without grouping; of decimals those that were spoken, or as many as the value needs."""
    if read.value.denominator == 1 and not read.decimals:
        return ordinal(read.value.numerator) if read.ordinal else str(read.value.numerator)
    places = next(n for n in range(max(read.decimals, 1), 100) if (read.value * 10**n).denominator == 1)
    digits = str((read.value * 10**places).numerator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


def ordinal(number: int) -> str:
    """12 -> "12th"."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
