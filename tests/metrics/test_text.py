"""The text normaliser: what sounds the same gets one form, what differs stays different.

`data/text_cases.jsonl` holds one case a line: two texts that must get the same form, two that must not, or a text and
its form; and the source that says so. The sources that can be asked are asked here.
"""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_wer import TEXT_CASES, check_case

from metrics.text import normalize
from metrics.text_numbers import ordinal
from metrics.text_spelling import spelled

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
_MONTHS = "January February March April May June July August September October November December"
MONTHS = _MONTHS.split()


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


@pytest.mark.parametrize("case", TEXT_CASES, ids=lambda case: " | ".join(case["texts"]))
def test_case(case: dict[str, Any]) -> None:
    check_case(case)


def test_the_cases_cover_what_the_normaliser_promises() -> None:
    assert len(TEXT_CASES) >= 300
    assert len({tuple(case["texts"]) for case in TEXT_CASES}) == len(TEXT_CASES)
    sources = {case["source"].partition(":")[0] for case in TEXT_CASES}
    assert sources == {"arithmetic", "cmudict", "hand", "iso8601", "nfc", "suite", "whisper"}


def from_source(name: str) -> list[tuple[str, str, str]]:
    """Both texts and the source of every case that has this kind of source."""
    cases = [case for case in TEXT_CASES if case["source"].partition(":")[0] == name]
    assert cases
    return [(*case["texts"], case["source"].partition(": ")[2]) for case in cases]


def test_the_source_arithmetic() -> None:
    for _, form, terms in from_source("arithmetic"):
        if re.fullmatch(r"[\d.e+]+", terms):
            assert float(form) == sum(float(term) for term in terms.split("+"))


def test_the_source_iso8601() -> None:
    for written, spoken_date, _ in from_source("iso8601"):
        date = datetime.date.fromisoformat(written)
        assert MONTHS[date.month - 1] in spoken_date
        assert normalize(spoken_date) == f"{ordinal(date.day)} {MONTHS[date.month - 1].lower()} {date.year}"


def test_the_source_nfc() -> None:
    for one, other, _ in from_source("nfc"):
        assert one != other
        assert unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def test_the_source_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "fixtures" / "suites"))
    import number_speech

    for written, spoken_text, _ in from_source("suite"):
        assert number_speech.spoken_form(written)[0] == spoken_text


def test_the_source_whisper() -> None:
    normalizers = pytest.importorskip("whisper.normalizers")
    english = normalizers.EnglishTextNormalizer()
    for one, other, _ in from_source("whisper"):
        assert english(one) == english(other), one


def readings() -> dict[str, set[str]]:
    """Word -> its readings in the CMU dictionary of the pocketsphinx wheel, without stress, unstressed vowels alike."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    found = defaultdict(set)
    for line in Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text("utf-8").splitlines():
        word, _, phones = line.partition(" ")
        found[word.partition("(")[0]].add(re.sub(r"\bIH\b", "AH", re.sub(r"\d", "", phones)))
    return dict(found)


def test_the_source_cmudict() -> None:
    known = readings()
    for one, other, _ in from_source("cmudict"):
        assert known[one] & known[other], one


def test_spellings_join_only_what_is_pronounced_alike() -> None:
    known = readings()
    joined = defaultdict(list)
    for word in known:
        if word.isalpha():
            joined[spelled(word)].append(word)
        assert spelled(spelled(word)) == spelled(word)
    groups = [words for words in joined.values() if len(words) > 1]
    assert len(groups) > 150
    apart = [words for words in groups if not set.intersection(*(known[word] for word in words))]
    # Transcribed differently although they are one word, and one plural that is spelled as a verb is.
    transcribed_twice = "anaesthetist cataloging coloring demeter gager odors tire"
    assert {min(words) for words in apart} == {*transcribed_twice.split(), "analyses"}


def test_what_whisper_joins_is_joined_but_for_what_is_pronounced_differently() -> None:
    """The spelling table of openai-whisper, word by word, as the parity reference."""
    normalizers = pytest.importorskip("whisper.normalizers")
    table = json.loads((Path(normalizers.__file__).parent / "english.json").read_text("utf-8"))
    apart = {british for british, american in table.items() if spelled(british) != spelled(american)}
    differently_said = "aeroplane aeroplanes aluminium flautist flautists fillet fillets filleted filleting misspelt"
    mistakes = "archaeology cancelations edoema pummelled pummelling pzazz snowploughs tranquilly philtre philtres"
    rare = "crenelated groyne groynes gryphon gryphons videodisc videodiscs"
    assert apart == {*differently_said.split(), *mistakes.split(), *rare.split(), "flyer / flier", "mhm", "mmm"}


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


@given(st.integers(0, 10**7), st.integers(1, 99))
def test_rupees_and_paise_are_one_amount(rupees: int, paise: int) -> None:
    expected = f"{rupees}.{paise:02d} rupees"
    for joint in (" ", " and "):
        assert normalize(f"{spoken(rupees)} rupees{joint}{spoken(paise)} paise") == expected
    assert normalize(f"Rs.{indian_commas(rupees)}.{paise:02d}") == normalize(f"₹{rupees}.{paise:02d}") == expected


@given(st.text("0123456789", min_size=3, max_size=14))
def test_digits_said_one_by_one_are_the_digits(digits: str) -> None:
    assert normalize(" ".join(ONES[int(digit)] for digit in digits)) == digits
    assert normalize(" ".join(digits)) == digits


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.sampled_from([". ", "? ", "; ", ": ", " (", " – ", "… "]))
def test_no_number_is_read_through_punctuation(one: int, other: int, joint: str) -> None:
    assert normalize(f"{spoken(one)}{joint}{spoken(other)}") == normalize(f"{one}{joint}{other}")


@given(st.integers(0, 10**7), st.integers(0, 99))
def test_a_small_number_is_no_part_of_the_one_before_its_comma(one: int, other: int) -> None:
    assert normalize(f"{spoken(one)}, {spoken(other)} men") == normalize(f"{one}, {other} men")


@given(st.integers(1, 99), st.sampled_from([*INDIAN, *WESTERN]))
def test_round_numbers_have_ordinals(count: int, group: tuple[int, str]) -> None:
    scale, name = group
    assert normalize(f"the {spoken(count)} {name}th") == f"the {ordinal(count * scale)}"
    assert normalize(f"the {name}th") == f"the {ordinal(scale)}"


@given(st.integers(1, 9), st.integers(1, 9))
def test_oh_is_a_digit_where_no_time_is_told(first: int, last: int) -> None:
    read = f"{ONES[first]} oh {ONES[last]}"
    assert normalize(f"room {read}") == f"room {first}0{last}"
    for text in (f"at {read}", f"{read} am", f"{read} p. m."):
        assert normalize(text) == normalize(text.replace(read, f"{first}:0{last}"))


@given(st.integers(1, 31), st.integers(1, 12), st.integers(1800, 2099))
def test_dates(day: int, month: int, year: int) -> None:
    read = spoken(year) if year % 100 < 10 else f"{spoken(year // 100)} {spoken(year % 100)}"
    name = MONTHS[month - 1]
    expected = f"{ordinal(day)} {name.lower()} {year}"
    for text in (
        f"{day} {name}, {year}",
        f"{ordinal(day)} {name} {read}",
        f"{day:02d}/{month:02d}/{year}",
        f"{year}-{month:02d}-{day:02d}",
        f"{day}-{name[:3]}-{year}",
    ):
        assert normalize(text) == expected


_PIECES = (
    "hundred thousand lakh lakhs crore million and point oh o double triple first second fifth twentieth rupees rs Rs. "
    "₹ $ a m p.m. may August percent % & / - 's ' . , : 5 12 00 007 2.5 18,00,000 98765 + 1st x नमस्ते । K. R. pin code "
    "minus per cent o'clock clock mister paise cr L k 50 half nineties Aug 12/08/2023 2023-08-12 km °C hrs 1730 col. "
    "don't it's Venkatesan's he'd cannot colour organize A4 no. # 1800 103 1906 (080) s.t. i.e. hon'ble p.a. "
    "hundredth thousandth croreth MS DR. RS AM dollar pound cent at ; ? ( 55/- …"
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


@given(st.text(st.characters(min_codepoint=0x0900, max_codepoint=0x0DFF, categories=["Lo", "Mc", "Mn"]), min_size=1))
def test_no_letter_or_vowel_sign_of_an_indic_script_is_lost(word: str) -> None:
    assert normalize(f"{word}!") == unicodedata.normalize("NFC", word)
