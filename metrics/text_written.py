"""Written forms of Indian English that stand for words: amounts, dates, times, telephone numbers, units, titles.

`expand("Rs. 2.5 Cr. on 12/08/2023")` -> "2.5 crore rupees on 12th august 2023", more or less: punctuation and the order
of words are left to `metrics.text`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from metrics.text_numbers import ordinal

_NAMES = "january february march april may june july august september october november december"
MONTHS = tuple(_NAMES.split())
_MONTH = {name[:3]: name for name in MONTHS} | {"sept": "september"}
_ABBREVIATED = "|".join(sorted(_MONTH.keys() - {"may"}, key=len, reverse=True))
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"

_AMOUNT = r"\d{1,3}(?:,\d{2,3})+"
_SCALES = {"k": "thousand", "l": "lakh", "m": "million", "b": "billion"}

_RUPEES = r"(?:₹|\b(?:rs|inr|rupees?)\b\.?)"
# After these, "no. 20" is an answer and a number that begins the next sentence.
_ANSWERED = "say says said saying answered replied or me him her us them you"
_NOT_ANSWERED = "".join(rf"(?<!\b{word} )" for word in _ANSWERED.split())

_WHO = "i|you|he|she|it|we|they|there|who|that"
_IT = "he|she|it|that|there|here|what|who|where|how"

# Titles that are words of their own without the point: replaced only before a name.
_TITLES = {
    "adv": "advocate",
    "col": "colonel",
    "gen": "general",
    "gov": "governor",
    "hon": "honorable",
    "jr": "junior",
    "kum": "kumari",
    "lt": "lieutenant",
    "maj": "major",
    "pt": "pandit",
    "rev": "reverend",
    "sh": "shri",
    "sr": "senior",
}
_UNITS = {
    "cm": "centimeters",
    "cms": "centimeters",
    "hr": "hours",
    "hrs": "hours",
    "kg": "kilograms",
    "kgs": "kilograms",
    "km": "kilometers",
    "kms": "kilometers",
    "km/h": "kilometers per hour",
    "kmph": "kilometers per hour",
    "mg": "milligrams",
    "mins": "minutes",
    "ml": "milliliters",
    "mm": "millimeters",
    "secs": "seconds",
    "sq ft": "square feet",
    "sq. ft.": "square feet",
    "°c": "degrees celsius",
    "°": "degrees",
}

_PLURAL = re.compile(r"s\b")
_LONGEST_UNIT_FIRST = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_APOSTROPHES = re.compile("[‘’ʼ`´]")

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _ungrouped(match: re.Match[str]) -> str:
    """ "18,00,000" and "1,800,000" -> "1800000"; a list such as "10,20" keeps its commas."""
    head, *groups = match[0].split(",")
    indian = len(head) <= 2 and len(groups[-1]) == 3 and all(len(group) == 2 for group in groups[:-1])
    western = all(len(group) == 3 for group in groups)
    return head + "".join(groups) if indian or western else match[0]


def _date(match: re.Match[str]) -> str:
    """Day before month, as in India. What is no date stays."""
    day, month = int(match["day"]), int(match["month"])
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return match[0]
    return f"{ordinal(day)} {MONTHS[month - 1]} {match['year']}"


def _joined(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match[0])


def _unit(match: re.Match[str]) -> str:
    """ "5 km" -> "5 kilometers", "1 km" -> "1 kilometer"."""
    number, words = match[1], _UNITS[match[2]]
    return f"{number} {_PLURAL.sub('', words, count=1) if number == '1' else words} "


def _rules(*rules: tuple[str, str | Callable[[re.Match[str]], str]]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


# In this order; what an earlier rule wrote, a later one may rewrite. A group is tried only on text that has its sign.
_CONTRACTIONS = _rules(
    (r"\bwon't\b", "will not"),
    (r"\bshan't\b", "shall not"),
    (r"\bcan't\b", "can not"),
    (r"\bain't\b", "aint"),
    (r"(?<=[a-z])n't\b", " not"),
    (r"\blet's\b", "let us"),
    (rf"\b({_WHO})'d(?= (?:been|better|done|gone|had)\b)", r"\1 had"),
    (rf"\b({_WHO})'d\b", r"\1 would"),
    (rf"\b({_IT})'s(?= (?:been|gone|got|had)\b)", r"\1 has"),
    (rf"\b({_IT})'s\b", r"\1 is"),
    (r"(?<=[a-z])'re\b", " are"),
    (r"(?<=[a-z])'ll\b", " will"),
    (r"(?<=[a-z])'ve\b", " have"),
    (r"\bi'm\b", "i am"),
    (r"(?<=\d)'s\b", "s"),
)
_NUMBERS = _rules(
    (r"(?<![\w.])[-−](?=\d)", " minus "),
    (rf"(?<![\d,]){_AMOUNT}(?![\d,]*\d)", _ungrouped),
    (r"(?<!\S)\.(?=\d)", "0."),
    (rf"{_NOT_ANSWERED}\bnos?\.\s?(?=\d)|#\s?(?=\d)", "number "),
)
_DATES = _rules(
    (r"(?<![\d/.-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\d/-])", _date),
    (r"(?<![\d/.-])(?P<day>\d{1,2})([/.-])(?P<month>\d{1,2})\2(?P<year>\d{4})(?![\d/-])", _date),
    (rf"\b({_DAY})[ -]?({_ABBREVIATED})\b\.?", lambda match: f"{match[1]} {_MONTH[match[2]]} "),
    (rf"\b({_ABBREVIATED})\b\.?(?= ?{_DAY}\b)", lambda match: _MONTH[match[1]]),
)
_AMOUNTS = _rules(
    (r"((?:[₹$£€]|\b(?:rs|inr)\b\.?)\s?\d+(?:\.\d+)?)\s?([klmb])\b", lambda m: f"{m[1]} {_SCALES[m[2]]}"),
    (r"(?<=\d)\s?crs?\b\.?", " crore"),
    (r"(?<=\d)\s?mn\b\.?", " million"),
    (r"(?<=\d)\s?bn\b\.?", " billion"),
    (r"(?<=\d)\s?lpa\b", " lakh per annum"),
    (rf"((?:{_RUPEES}|\bre\b\.?)\s?\d+(?:\.\d+)?)/-|(?<=\d)/-(?=\s?{_RUPEES})", r"\1 "),
    (r"(?<=\d)/-(?!\d)", " rupees "),
    (r"\b(?:rs|inr)\b\.?\s?(?=\d)|(?<=\d)\s?\b(?:rs|inr)\b\.?|\bre\b\.?\s?(?=1\b)", " rupees "),
)
_DIGIT_STRINGS = _rules(
    (r"\+\s?(?=\d)", " plus "),
    (r"\((0\d{2,4})\)\s?", r"\1 "),
    (r"(?<![\d-])\d{4}([ -])\d{4}\1\d{4}(?:\1\d{4})?(?![\d-])", _joined),  # Aadhaar and card numbers
    (r"(?<![\d-])0\d{2,4}[ -]\d{3,4}[ -]?\d{4}(?![\d-])", _joined),  # with an area code
    (r"(?<![\d-])18[06]0[ -]\d{2,4}[ -]\d{3,4}(?![\d-])", _joined),  # toll-free
    (r"(?<![\d-])\d{5}[ -]\d{5}(?![\d-])", _joined),  # mobile, as India groups it, and as others do
    (r"(?<![\d-])[5-9](?:\d\d[ -]\d{3}[ -]\d{4}|\d{3}[ -]\d{3}[ -]\d{3})(?![\d-])", _joined),
    (r"\bplus 9 ?1[ -]?(\d{10})\b", r"plus 91\1"),
    (r"\b(pin(?: code)?(?: is| number)?:? )(\d{3}) (\d{3})\b", r"\1\2\3"),
)
_TIMES = _rules(
    (r"\b(\d{1,2})\.(\d\d)(?=\s?[ap]\.?\s?m\b)", r"\1:\2"),
    (r"\b(\d{1,2}):00(?=\s?[ap]\.?\s?m\b)", r"\1"),
    (r"\b(\d{1,2}):00\b(?!:)", r"\1 o'clock"),
    (r"(?<=\d)\s?([ap])\.?\s?m\b\.?", r" \1m"),
    (r"\b([01]\d|2[0-3])([0-5]\d)(?=\s?h(?:ou)?rs\b)", r"\1 \2"),
)
_BESIDE_DIGITS = _rules(
    (rf"(?<![\d.])(\d+(?:\.\d+)?)\s?({_LONGEST_UNIT_FIRST})(?!\w)", _unit),
    (r"(?<=[a-z])(?=\d)|(?<=\d)(?!(?:st|nd|rd|th|s)\b)(?=[a-z])", " "),  # "covid19"; ordinals and decades stay whole
)
_WORDS_AND_SIGNS = _rules(
    (r"₹", " rupees "),
    (r"\$", " dollars "),
    (r"£", " pounds "),
    (r"€", " euros "),
    (r"%|\bper[\s-]+cent\b", " percent "),
    (r"&", " and "),
    (r"@", " at "),
    (r"\bp\.\s?a\.(?!\w)", "per annum"),
    (r"\bo clock\b", "o'clock"),
    (r"\bcannot\b", "can not"),
    (r"\bgonna\b", "going to"),
    (r"\bgotta\b", "got to"),
    (r"\bwanna\b", "want to"),
    (rf"\b({'|'.join(_TITLES)})\.(?=\s?[a-z])", lambda match: f"{_TITLES[match[1]]} "),
)
_GROUPS = (
    (re.compile("'"), _CONTRACTIONS),
    (re.compile(r"\d"), (*_NUMBERS, *_DATES, *_AMOUNTS, *_DIGIT_STRINGS, *_TIMES, *_BESIDE_DIGITS)),
    (re.compile(""), _WORDS_AND_SIGNS),
)


def expand(text: str) -> str:
    """Write out the written forms in lower-case text."""
    text = _APOSTROPHES.sub("'", text)
    for sign, rules in _GROUPS:
        if sign.search(text):
            for pattern, replacement in rules:
                text = pattern.sub(replacement, text)
    return text
