from hypothesis import given
from hypothesis import strategies as st

from reports.worddiff import Piece, word_diff


def test_differences_are_words_not_case_or_punctuation() -> None:
    assert word_diff("Call Subramanian Iyer, please.", "call super money in iyer please") == [
        Piece("same", "call"),
        Piece("missed", "Subramanian"),
        Piece("extra", "super money in"),
        Piece("same", "iyer please"),
    ]


def test_hyphens_separate_words() -> None:
    assert word_diff("twenty-five rupees", "twenty five rupees") == [Piece("same", "twenty five rupees")]


def test_vowel_signs_tell_indic_words_apart() -> None:
    assert [piece.kind for piece in word_diff("मिल", "मल")] == ["missed", "extra"]
    assert word_diff("लक्ष्मी।", "लक्ष्मी") == [Piece("same", "लक्ष्मी")]


def test_nothing_heard() -> None:
    assert word_diff("All of it.", "") == [Piece("missed", "All of it.")]


words = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=12)


@given(words, words)
def test_both_texts_can_be_read_off(expected: list[str], heard: list[str]) -> None:
    pieces = word_diff(" ".join(expected), " ".join(heard))
    assert " ".join(piece.text for piece in pieces if piece.kind != "extra").split() == expected
    assert " ".join(piece.text for piece in pieces if piece.kind != "missed").split() == heard
