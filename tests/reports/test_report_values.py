import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.values import MISSING, date, decimals, interval, loose, number, percent, signed


@pytest.mark.parametrize(
    ("column", "digits"),
    [
        ({"unit": "MOS", "min": 2.1, "max": 3.4, "mean": 2.9}, 2),
        ({"unit": "dB", "min": 38.0, "max": 100.0, "mean": 71.0}, 1),
        ({"unit": "", "min": 0.0, "max": 1.0, "mean": 0.82}, 3),
        ({"unit": "", "min": 0.003, "max": 0.016, "mean": 0.0073}, 4),
        ({"unit": "", "value": 0.21}, 3),
        ({"unit": "s", "min": 900.0, "max": 1800.0, "mean": 1200.0}, 0),
        ({"unit": "", "min": 0.0, "max": 0.0, "mean": 0.0}, 3),
        ({"unit": "MOS", "min": None, "max": math.nan, "mean": None}, 3),
        ({"unit": "s", "min": 0.0, "max": 0.0, "mean": 0.0}, 3),
        ({"unit": "s", "min": 0.0, "max": 0.00002, "mean": 0.00001}, 6),
    ],
)
def test_digits_suit_the_column(column: dict[str, object], digits: int) -> None:
    assert decimals(column) == digits


def test_written_numbers() -> None:
    assert number(2.914, 2) == "2.91"
    assert number(-0.0004, 2) == "0.00", "no negative zero"
    assert signed(0.05, 2) == "+0.05"
    assert signed(-0.05, 2) == "-0.05"
    assert signed(0.0, 2) == "0.00"
    assert interval([2.8765, 2.94], 2) == "[2.88, 2.94]"
    assert interval([-0.01, 0.09], 2, sign=True) == "[-0.01, +0.09]"
    assert interval(None, 2) == interval([math.nan, 1.0], 2) == MISSING
    assert percent(0.9933) == "99.3 %"
    assert percent(1.0) == "100 %"
    assert percent(1999.9 / 2000) == "99.9 %", "short coverage never reads as complete"


@given(st.one_of(st.none(), st.floats(), st.text(), st.booleans(), st.integers(-(10**9), 10**9)), st.integers(0, 6))
def test_a_number_is_a_number_or_a_dash(value: object, digits: int) -> None:
    text = number(value, digits)
    assert text == MISSING or math.isfinite(float(text))


def test_scalars_of_a_manifest() -> None:
    assert loose(None) == loose(math.nan) == MISSING
    assert loose(False) == "no"
    assert loose(0.953987) == "0.954"
    assert loose(1_657_771) == "1657771"


def test_dates() -> None:
    assert date("2026-11-21T03:30:00+00:00") == "21 November 2026, 03:30 UTC"
    assert date("yesterday") == "yesterday"
    assert date(None) == MISSING
