"""Finding the names in a sentence."""

from __future__ import annotations

import pytest

from metrics.base import Entity
from metrics.pronunciation import Word, words_of

IYER = Entity("Iyer", ("AY1 Y AH0 R",), ("AY0 ER0",))
SUBRAMANIAN_IYER = Entity("Subramanian Iyer", ("S",), ("T",))
IDLI = Entity("Idli", ("IH1 D L IY0",), ("AY0 D L IY0",))


@pytest.mark.parametrize(
    ("text", "entities", "words"),
    [
        ("Ask Iyer now.", [IYER], [Word("ask"), Word("iyer", IYER), Word("now")]),
        ("Iyer's or Iyer’s?", [IYER], [Word("iyer", IYER, True), Word("or"), Word("iyer", IYER, True)]),
        (
            "Two plates of idli, please!",
            [IDLI],
            [*map(Word, ("two", "plates", "of")), Word("idli", IDLI), Word("please")],
        ),
        ("Subramanian Iyer", [IYER, SUBRAMANIAN_IYER], [Word("subramanian iyer", SUBRAMANIAN_IYER)]),
        ("K. R. Iyer's", [IYER], [Word("k"), Word("r"), Word("iyer", IYER, True)]),
        ("Ask ıyer", [IYER], [Word("ask"), Word("ıyer", IYER)]),  # a dotless i
        ("Iyers and Miyer", [IYER], [Word("iyers"), Word("and"), Word("miyer")]),
        ("It's a well-known o'clock", [], [*map(Word, ("it's", "a", "well", "known", "o'clock"))]),
        ("", [IYER], []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words(text: str, entities: list[Entity], words: list[Word]) -> None:
    assert words_of(text, entities) == words
