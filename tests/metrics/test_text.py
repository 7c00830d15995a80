"""The text normaliser: what sounds the same gets one form, what differs stays different."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.text import normalize
from metrics.text_numbers import ordinal

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"
ONES, TENS = _ONES.split(), _TENS.split()
INDIAN = ((10**7, "crore"), (10**5, "lakh"), (1000, "thousand"), (100, "hundred"))
WESTERN = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))


def spoken(number: int, groups: tuple[tuple[int, str], ...] = INDIAN, conjunction: str = "") -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")
    size, name = next(group for group in groups if number >= group[0])
    count, rest = divmod(number, size)
    joint = f" {conjunction}" if conjunction and rest < 100 else ""
    tail = f"{joint} {spoken(rest, groups, conjunction)}" if rest else ""
    return f"{spoken(count, groups, conjunction)} {name}{tail}"


def indian_commas(number: int) -> str:
    digits = str(number)
    head, groups = digits[:-3], [digits[-3:]]
    while head:
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    return ",".join(groups)


SAME = [
    [
        "Rs.18,00,000",
        "Rs. 18,00,000",
        "Rs 18,00,000/-",
        "₹18,00,000",
        "₹ 18 lakh",
        "INR 18,00,000",
        "Rs. 1,800,000",
        "eighteen lakh rupees",
        "Eighteen lakhs rupees",
        "rupees eighteen lakh",
        "1.8 million rupees",
        "18 lac rupees",
    ],
    ["₹2.5 crore", "2.5 crore rupees", "two point five crore rupees", "two crore fifty lakh rupees", "Rs.2,50,00,000"],
    ["5 lakh crore", "five lakh crore"],
    ["98765 43210", "98765-43210", "9876543210", "nine eight seven six five four three two one zero"],
    ["+91 98765 43210", "plus nine one nine eight seven six five four three two one zero"],
    ["9855", "nine eight double five", "nine eight five five", "nine thousand eight hundred and fifty five"],
    ["PIN code 560 001", "pin code five six zero zero zero one", "PIN code 560001"],
    ["K. R. Subramanian", "K R Subramanian", "K.R. Subramanian", "k r subramanian"],
    [
        "12th August 2023",
        "twelfth August twenty twenty three",
        "12 August 2023",
        "twelve august two thousand twenty three",
    ],
    ["August 12, 2023", "August twelfth twenty twenty three", "august 12th 2023"],
    ["1998", "nineteen ninety eight"],
    ["2005", "two thousand five", "twenty oh five", "two thousand and five"],
    ["10:05 AM", "ten oh five a.m.", "ten oh five a m", "10.05 am", "10:05 a. m."],
    ["9:30", "nine thirty"],
    ["9:00", "nine o'clock", "nine o clock"],
    ["9:00 a.m.", "9 am", "nine a m"],
    ["Mr. Iyer", "Mister Iyer"],
    ["Dr. Rao", "Doctor Rao"],
    ["Smt. Latha", "Shrimati Latha"],
    ["Shri Ram", "Sri Ram"],
    ["Venkatesan’s", "Venkatesan's"],
    ["well-known", "well known"],
    ["5%", "five percent", "5 per cent"],
    ["R&D", "R and D"],
    ["Hello, World!", "hello world"],
    ["twenty-first", "21st", "twenty first"],
    ["11.2", "eleven point two"],
    ["$2.5 million", "two point five million dollars"],
]

DIFFERENT = [
    ["18 lakh", "18 crore", "18 thousand", "18", "1.8 lakh", "180 lakh"],
    ["5 rupees", "5 dollars", "5", "5 percent", "minus 5", "0.5"],
    ["-5", "5"],
    [".5", "5"],
    ["007", "7", "07"],
    ["1, 2, 3", "123"],
    ["one two", "twelve"],
    ["one hundred and two hundred", "three hundred", "one hundred two"],
    ["we're", "were"],
    ["12 August", "12 September", "13 August"],
    ["10:05", "10:50", "1005"],
    ["Mr. Rao", "Mrs. Rao", "Dr. Rao", "Ms. Rao"],
    ["kay are", "K. R."],
    ["12th August", "August 12th"],
    ["c++", "c"],
    ["सुब्रमणियन", "सबरमणयन"],
]


@pytest.mark.parametrize("forms", SAME, ids=lambda forms: forms[0])
def test_what_sounds_the_same_has_one_form(forms: list[str]) -> None:
    assert {normalize(form): form for form in forms}.keys() == {normalize(forms[0])}


@pytest.mark.parametrize("forms", DIFFERENT, ids=lambda forms: forms[0])
def test_what_differs_stays_different(forms: list[str]) -> None:
    assert len({normalize(form) for form in forms}) == len(forms)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The compensation is Rs.18,00,000 per annum.", "the compensation is 1800000 rupees per annum"),
        ("PAN ABCDE1234F", "pan abcde1234f"),
        ("Train 12764 leaves at 7:15.", "train 12764 leaves at 7 15"),
        ("thirty six stolen phones", "36 stolen phones"),
        ("a hundred lakhs", "a hundred lakhs"),
        ("", ""),
        (" … ", ""),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert normalize(text) == form


@pytest.mark.parametrize("word", ["सुब्रमणियन", "லக்ஷ்மி", "ಬೆಂಗಳೂರು", "തിരുവനന്തപുരം", "হায়দ্রাবাদ", "ਅੰਮ੍ਰਿਤਸਰ", "لکھنؤ", "क्‍ष"])
def test_indic_scripts_are_kept_whole(word: str) -> None:
    import unicodedata

    assert normalize(f"{word}, {word}।") == unicodedata.normalize("NFC", f"{word} {word}")


@given(st.integers(0, 10**12))
def test_an_amount_has_one_form_however_it_is_given(number: int) -> None:
    expected = f"{number} rupees"
    for text in (
        f"{number} rupees",
        f"Rs.{indian_commas(number)}",
        f"₹ {number:,}",
        f"rupees {spoken(number)}",
        f"{spoken(number)} rupees",
        f"{spoken(number, conjunction='and')} rupees",
    ):
        assert normalize(text) == expected
    if number < 10**11:
        assert normalize(f"{spoken(number, WESTERN)} rupees") == expected


@given(st.text("0123456789", min_size=3, max_size=14))
def test_digits_said_one_by_one_are_the_digits(digits: str) -> None:
    assert normalize(" ".join(ONES[int(digit)] for digit in digits)) == digits


@given(st.integers(1, 31), st.sampled_from(["January", "August", "December"]), st.integers(1800, 2099))
def test_dates(day: int, month: str, year: int) -> None:
    read = spoken(year) if year % 100 < 10 else f"{spoken(year // 100)} {spoken(year % 100)}"
    expected = f"{ordinal(day)} {month.lower()} {year}"
    assert normalize(f"{day} {month}, {year}") == normalize(f"{ordinal(day)} {month} {read}") == expected


_PIECES = (
    "hundred thousand lakh lakhs crore million and point oh o double triple first second fifth twentieth rupees rs Rs. "
    "₹ $ a m p.m. may August percent % & / - 's ' . , : 5 12 00 007 2.5 18,00,000 98765 + 1st x नमस्ते । K. R. pin code "
    "minus per cent o'clock clock mister"
)
PIECES = [*ONES, *TENS[2:], *_PIECES.split()]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from([" ", "", ", "]))
def test_normalising_twice_changes_nothing(pieces: list[str], joint: str) -> None:
    once = normalize(joint.join(pieces))
    assert normalize(once) == once


@given(st.text(max_size=40))
def test_any_text_is_taken(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert once == " ".join(once.split())
