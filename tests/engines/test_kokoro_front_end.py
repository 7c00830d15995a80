"""Readings in Kokoro's symbols, their places in a text, and espeak-ng as a program."""

from __future__ import annotations

import shutil

import pytest

from evalkit.engines.kokoro import front_end
from evalkit.engines.kokoro.arpabet import AMERICAN, BRITISH, CONSONANTS, to_kokoro
from evalkit.engines.kokoro.config import read_config
from evalkit.engines.kokoro.readings import Piece, join, possessive, split
from evalkit.suites import load_suite

PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


@pytest.mark.parametrize(
    ("reading", "american", "british"),
    [
        ("S UW2 B R AH0 M AA1 N IY0 AH0 N", "sˌubɹəmˈɑniən", "sˌuːbɹəmˈɑːniən"),
        ("HH AH0 L OW1", "həlˈO", "həlˈQ"),
        ("W ER1 L D", "wˈɜɹld", "wˈɜːɹld"),
        ("B AH1 T ER0", "bˈʌtəɹ", "bˈʌtəɹ"),
        ("CH EY1 N JH", "ʧˈAnʤ", "ʧˈAnʤ"),
        ("AE1 SH", "ˈæʃ", "ˈaʃ"),
        ("DH IY", "ði", "ði"),
    ],
)
def test_a_reading_in_kokoros_symbols(reading: str, american: str, british: str) -> None:
    assert to_kokoro(reading) == american
    assert to_kokoro(reading, british=True) == british


def test_all_39_phones_are_there_and_the_network_knows_their_symbols() -> None:
    symbols = read_config(None).symbols
    for vowels in (AMERICAN, BRITISH):
        assert " ".join(sorted({*vowels, *CONSONANTS})) == PHONES
        assert all(symbol in symbols for text in [*vowels.values(), *CONSONANTS.values()] for symbol in text)


def test_every_reading_of_the_suite_can_be_spoken() -> None:
    symbols = read_config(None).symbols
    entities = [entity for item in load_suite("indian-names").items for entity in item.entities]
    readings = {reading for entity in entities for reading in entity.accepted}
    assert len(readings) > 50
    assert all(symbol in symbols for reading in readings for symbol in to_kokoro(reading))


@pytest.mark.parametrize("reading", ["☃1", "XX", "S AH3", "ah", "B1"])
def test_what_is_no_phone_is_named(reading: str) -> None:
    with pytest.raises(ValueError, match=reading.rsplit(maxsplit=1)[-1]):
        to_kokoro(reading)


def test_whole_words_are_found_the_longest_first() -> None:
    readings = {"Anna": "A", "Anna Nagar": "AN", "Rao": "R"}
    assert split("To Anna Nagar, Annapurna and Rao.", readings) == [
        Piece("To "), Piece("Anna Nagar", "AN"), Piece(", Annapurna and "), Piece("Rao", "R"), Piece("."),
    ]  # fmt: skip
    assert split("To Rao", {}) == [Piece("To Rao")]


def test_pieces_are_joined_with_the_blanks_of_the_text() -> None:
    pieces = split("Is Rao  Anna's (aunt)?", {"Rao": "ɹˈW", "Anna": "ˈʌnə"})
    assert join(pieces, str.lower) == "is ɹˈW ˈʌnəz (aunt)?"


@pytest.mark.parametrize(("ending", "said"), [("ˈʌnə", "z"), ("dˈæʃ", "ɪz"), ("lˈɪt", "s"), ("ɹˈɑɡ", "z")])
def test_the_possessive_follows_the_last_sound(ending: str, said: str) -> None:
    assert possessive(ending) == said


needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@needs_espeak
@pytest.mark.parametrize(
    ("language", "said"),
    [("en-us", "həlˈO wˈɜɹld, jˈɛs! (ʤˈʌmp)"), ("en-gb", "həlˈQ wˈɜːld, jˈɛs! (ʤˈʌmp)")],
)
def test_the_program_reads_in_kokoros_symbols_and_keeps_punctuation(language: str, said: str) -> None:
    made = front_end._program(language, " (because)")
    assert made.read("Hello world, yes! (Jump)", {}) == said
    assert made.name.startswith("espeak-ng 1.")
    assert made.name.endswith(f" {language} (because)")


@needs_espeak
def test_the_program_leaves_readings_as_they_are() -> None:
    made = front_end._program("en-us", "")
    assert made.read("Hello Rao, yes.", {"Rao": "ɹˈW"}) == "həlˈO ɹˈW, jˈɛs."
