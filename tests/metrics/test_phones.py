"""Two alphabets of phones: what counts as the same, and what an engine's symbols mean."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metrics.phones import BOUNDARY, IPA, IPA_PAIRS, distance, equivalent, fold, heard_phones, to_ipa
from metrics.phones_vocabulary import PhoneClasses


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("S UW1 B", "S UW0 B"),
        ("AY1 Y ER0", "AY0 AH0 R"),
        ("IH0 D L IY0", "IY1 D L IH0"),
        ("K AO1 T AO0", "K AA0 T AA1"),
        ("B AH1 T", "B UH0 T"),
        ("R AH1 M M AH0", "R AH0 M AH0"),
    ],
)
def test_readings_that_are_the_same(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("L AH1 K", "L AE1 K"), ("T AH0", "TH AH0"), ("N Y AH0", "N AH0"), ("V AA0", "W AA0"), ("S", "SH"), ("AA", "AH")],
)
def test_readings_that_differ(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("phonemes", "reading"),
    [
        ("pau l ax k sh m iy pau", "L AH1 K SH M IY0"),  # tinytts
        ("L AH1 K SH M IY0", "L AH1 K SH M IY0"),
        ("lˈʌkʃmi", "L AH1 K SH M IY0"),  # espeak-ng hi
        ("bʰˌəʈaːcˈaːrjə", "B AH0 T AA1 CH AA1 R Y AH0"),
        ("ʋˈɪʃʋənˌaːt̪ʰ", "V IH0 SH V AH0 N AA1 T"),
        ("ʋˈɪʃʋənˌaːt̪ʰ", "W IH0 SH W AH0 N AA1 T"),
        ("vˈɪd͡ʒəj", "V IH1 JH AH0 Y"),
        ("ɹˈAʤən", "R EY1 JH AH0 N"),  # misaki
        ("mˈOhən", "M OW1 HH AH0 N"),
        ("pˈæɾɪl", "P AE1 T IH0 L"),  # a tap, of an American t
        ("sˈuɾeːʃ", "S UH0 R EY1 SH"),  # or of an Indian r
        ("ˈɪndɹə", "IH1 N D R AH0"),
        ("kˈɑːɹɚ", "K AA1 R ER0"),
    ],
)
def test_what_an_engine_wrote_can_be_that_reading(phonemes: str, reading: str) -> None:
    heard = heard_phones(phonemes)
    expected = fold(reading)
    assert len(heard) == len(expected)
    assert all(phone in options for phone, options in zip(expected, heard, strict=True)), (heard, expected)


def test_words_of_ipa_are_kept_apart_and_punctuation_is_not_a_phone() -> None:
    heard = heard_phones("ˈɪdli, | ænd — sˈɑːmbɑːɹ.")
    assert heard.count(BOUNDARY) == 2 and heard[4] == BOUNDARY
    assert BOUNDARY not in heard_phones("ih d l iy ae n d")
    assert heard_phones("") == heard_phones(" pau ") == ()


def test_an_unknown_symbol_matches_no_phone() -> None:
    assert heard_phones("ˈɪ☃i")[1] == frozenset({"☃"})


def test_the_distance_is_panphons_after_the_equivalences() -> None:
    assert distance("ləkʃmi", ["L AH1 K SH M IY0"]) == 0
    assert distance("lækʃmi", ["L AH1 K SH M IY0"]) == pytest.approx(0.0208, abs=1e-3)
    assert distance("ʋərma", ["V AH1 R M AA0"]) == distance("vəɹma", ["V AH1 R M AA0"])
    assert distance("səɾəʋənə", ["S AE1 R AH0 V AA0 N AH0", "S AH0 R AH1 V AH0 N AH0"]) == 0, "the nearest counts"
    assert distance("bʱarət", ["B AA1 R AH0 T"]) == distance("bʰarət", ["B AA1 R AH0 T"]) > 0
    assert 0.5 < distance("", ["IH1 D L IY0"]) <= 1
    with pytest.raises(ValueError, match="at least one reading"):
        distance("a", [])


def test_equivalences_of_ipa() -> None:
    assert equivalent("ʋˈɾr.ʱʌɐː") == "vɹɹʰəə"
    assert to_ipa("K AA1 R ER0 CH") == "kɑːɹɚtʃ"


def vocabulary(left_out: tuple[str, ...] = ()) -> dict[str, int]:
    symbols = [symbol for table in (IPA, IPA_PAIRS) for written in table.values() for symbol in written]
    kept = [symbol for symbol in dict.fromkeys(symbols) if symbol not in left_out]
    return {symbol: 1 + index for index, symbol in enumerate(kept)}


def test_phones_without_a_symbol_are_named() -> None:
    with pytest.raises(ValueError, match=r"no symbol for CH \(tʃ .*\), TH \(θ\): "):
        PhoneClasses(vocabulary(left_out=(*IPA["CH"], "θ")), blank=0)


def test_a_reading_is_spelled_with_pairs_and_without() -> None:
    classes = PhoneClasses(vocabulary(), blank=0)
    merged, single = classes.spellings("SH AA1 R M AH0")
    assert (len(merged), len(single)) == (4, 5) and merged[0] == single[0] and merged[2:] == single[3:]
    assert len(classes.spellings("IH1 D L IY0")) == 1
    without = PhoneClasses(vocabulary(left_out=("ɑːɹ",)), blank=0)
    assert len(without.spellings("SH AA1 R M AH0")) == 1


def test_importing_loads_no_judge_and_no_torch_for_the_workers() -> None:
    code = "import sys, metrics.pocketsphinx_worker; print({'torch', 'panphon', 'pocketsphinx'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
