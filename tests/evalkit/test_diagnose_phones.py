"""Phones that the texts of a set contain."""

from __future__ import annotations

from evalkit.diagnostics.training.phone_coverage import MOST_REMEMBERED, RARE, PhoneCounter

PANGRAM = "The quick brown fox jumps over the lazy dog."


def counted(*texts: str) -> PhoneCounter:
    counter = PhoneCounter()
    for text in texts:
        counter.add(text)
    return counter


def test_phones_are_counted_missing_and_rare() -> None:
    found = counted(PANGRAM).coverage()
    assert found is not None
    assert found["of"] == 39 and found["covered"] + len(found["missing"]) == 39
    assert {"SH", "TH", "ZH", "OY"} <= set(found["missing"])
    assert {"DH", "K", "W", "JH"} <= set(found["rare"])
    assert found["counts"]["DH"] == 2 and found["counts"]["OY"] == 0
    often = counted(*[PANGRAM] * RARE).coverage()
    assert often is not None and often["rare"] == [] and often["missing"] == found["missing"]


def test_pairs_of_phones_are_a_share_of_the_usual_ones() -> None:
    one, more = counted("Cat").coverage(), counted("Cat", "tack", "Cat").coverage()
    assert one is not None and more is not None
    assert one["diphones"]["covered"] == 2 and more["diphones"]["covered"] == 4  # K AE, AE T; T AE, AE K
    assert 500 < one["diphones"]["of"] < 39 * 39


def test_words_outside_the_dictionary_are_counted_and_named() -> None:
    found = counted("Xqzt went to Xqzt in 1984.", "Plug’s plugs, brzq-well").coverage()
    assert found is not None
    assert found["words"] == 11 - 1 and found["unknown_words"] == 4
    assert found["unknown"][0] == "xqzt" and set(found["unknown"]) == {"xqzt", "1984", "brzq"}


def test_other_scripts_are_unknown_words_and_no_text_is_no_coverage() -> None:
    found = counted("नमस्ते दुनिया").coverage()
    assert found is not None and found["covered"] == 0 and found["unknown_words"] == found["words"] > 0
    assert counted("", " ... ").coverage() is None


def test_memory_stays_bounded_whatever_the_words() -> None:
    counter = counted(
        " ".join(
            f"zq{'x' * (n % 7)}{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}q{chr(97 + n // 676)}z" for n in range(17000)
        )
    )
    assert counter.unknown == 17000 and len(counter._unknown) <= MOST_REMEMBERED
