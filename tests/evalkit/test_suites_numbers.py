"""Spoken numbers: known cases, and an independent reader that turns every spoken form back into digits."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evalkit.suites import Item, load_suite

UNITS = {
    word: value
    for value, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
}
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = {
    word: 10 * value
    for value, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
SMALL = {**UNITS, **{word: value for value, word in enumerate(TEENS, 10)}, **TENS}
SCALES = {"hundred": 100, "thousand": 1_000, "lakh": 100_000, "crore": 10_000_000}
ORDINALS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}


@pytest.fixture
def number_speech(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "fixtures" / "suites"))
    import number_speech

    return number_speech


def cardinal_of(word: str) -> int | None:
    """The number below a hundred that a word says, ordinals too."""
    if word in SMALL:
        return SMALL[word]
    if word in ORDINALS:
        return ORDINALS[word]
    stem = word[:-4] + "y" if word.endswith("ieth") else word.removesuffix("th")
    return SMALL.get(stem)


class Reader:
    """Adds up number words; digits of numbers that follow each other are strung together: "six forty five" -> "645"."""

    def __init__(self) -> None:
        self.digits = ""
        self._close()

    def _close(self) -> None:
        self.total, self.current, self.last, self.decimals = Decimal(0), Decimal(0), "", ""

    def close(self) -> None:
        if self.last:
            value = self.total + self.current
            self.digits += f"{value.normalize():f}"
        self._close()

    def small(self, value: int) -> None:
        if self.last == "point":
            self.decimals += str(value)
            self.current = Decimal(f"{int(self.current)}.{self.decimals}")
            return
        joins = self.last == "scale" or (self.last == "tens" and 0 < value < 10)
        if not joins:
            self.close()
        self.current += value
        self.last = "tens" if value >= 20 and value % 10 == 0 else "small"

    def scale(self, size: int) -> None:
        if size == 100:
            self.current *= size
        elif self.total < size:
            self.total, self.current = (self.total + self.current) * size, Decimal(0)
        else:
            self.total, self.current = self.total + self.current * size, Decimal(0)
        self.last = "scale"

    def read(self, word: str) -> None:
        value = cardinal_of(word)
        if value is not None:
            self.small(value)
        elif word in SCALES and self.last:
            self.scale(SCALES[word])
        elif word == "point" and self.last:
            self.last = "point"
        else:
            self.close()
            self.digits += {"oh": "0", "o'clock": "00"}.get(word, "")


def digits_of(text: str) -> str:
    """Every number of a text, spoken or written, as one string of digits."""
    reader = Reader()
    pattern = r"(?P<number>\d[\d,]*(?:\.\d+)?)(?: (?P<scale>lakh|crore)\b)?|(?P<word>[a-z']+)|(?P<stop>[,.?])"
    for match in re.finditer(pattern, text.casefold()):
        if match["number"]:
            reader.close()
            value = Decimal(match["number"].replace(",", "")) * SCALES.get(match["scale"] or "", 1)
            written = match["number"] if set(match["number"]) <= set("0123456789") and not match["scale"] else None
            reader.digits += written or f"{value.normalize():f}"
        elif match["word"]:
            reader.read(match["word"])
        else:
            reader.close()
    reader.close()
    return reader.digits


ITEMS = [item for name in ("smoke", "indian-names") for item in load_suite(name).items if re.search(r"\d", item.text)]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_the_spoken_form_says_the_digits_of_the_text(item: Item) -> None:
    assert digits_of(item.spoken) == digits_of(item.text)


def test_the_reader_hears_a_wrong_number() -> None:
    assert digits_of("eighteen lakh rupees") == "1800000"
    assert digits_of("eighty lakh rupees") != digits_of("Rs.18,00,000")
    assert digits_of("six eight zero zero zero one") == "680001"
    assert digits_of("seventy five thousand crore") == digits_of("75,000 crore") == "750000000000"
    assert len(ITEMS) > 60


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Rs.18,00,000 per annum", "eighteen lakh rupees per annum"),
        ("Rs.2.5 crore", "two point five crore rupees"),
        ("₹1,05,000", "one lakh five thousand rupees"),
        ("Rs.1,00,00,000", "one crore rupees"),
        ("Rs.0", "zero rupees"),
        ("55501 23476", "five five five zero one two three four seven six"),
        ("PIN code 560001", "PIN code five six zero zero zero one"),
        ("at 9:05", "at nine oh five"),
        ("at 11:00", "at eleven o'clock"),
        ("21 June 1998", "twenty first June nineteen ninety eight"),
        ("30 April 2005", "thirtieth April two thousand five"),
        ("12 August 1900", "twelfth August nineteen hundred"),
        ("7.25 percent", "seven point two five percent"),
        ("K. R. Subramanian", "K R Subramanian"),
        ("V. Iyengar and Dr. Rao", "V Iyengar and Doctor Rao"),
        ("Train 12764", "Train one two seven six four"),
    ],
)
def test_known_spoken_forms(number_speech: Any, written: str, spoken: str) -> None:
    assert number_speech.spoken_form(written)[0] == spoken
