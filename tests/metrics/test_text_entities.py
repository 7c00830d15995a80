"""Names in a text: where they stand, how else they may be written, and what an entity word error rate counts."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_wer import (
    ENTITIES,
    HAND_WORKED,
    LAKSHMI,
    SUBRAMANIAN,
    check_hand_worked,
    check_rates_are_those_of_jiwer,
    check_the_alignment_rebuilds_both_sides,
    scored,
)

from metrics.base import Entity
from metrics.text import normalize
from metrics.text_entities import places
from metrics.wer import compare, wer_columns


def test_hand_worked_counts() -> None:
    check_hand_worked()


def test_rates_are_those_of_jiwer() -> None:
    check_rates_are_those_of_jiwer()


def test_the_alignment_rebuilds_both_sides() -> None:
    check_the_alignment_rebuilds_both_sides()


def located(text: str, *entities: Entity) -> list[list[str]]:
    words = normalize(text).split()
    return [words[place.start : place.end] for place in places(text, words, entities)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Lakshmi, LAKSHMI and Lakshmi’s", [["lakshmi"], ["lakshmi"], ["lakshmi's"]]),
        ("Rs. 5 to Lakshmi-Narayan", [["lakshmi"]]),
        ("Lakshmipathi", []),
        ("Studio Five", [["studio", "5"]]),
        ("Studio five hundred", []),  # the five is part of another number there
        ("On 12 August K. R. Subramanian paid", [["subramanian"]]),
    ],
)
def test_where_entities_stand(text: str, found: list[list[str]]) -> None:
    assert located(text, *ENTITIES) == found


def test_of_two_entities_in_one_place_the_longer_counts() -> None:
    delhi, new_delhi = Entity("Delhi", ()), Entity("New Delhi", ())
    assert located("New Delhi and Delhi", delhi, new_delhi) == [["new", "delhi"], ["delhi"]]
    assert located("Delhi and New Delhi", delhi, new_delhi) == [["delhi"], ["new", "delhi"]]


def test_the_alignment_says_what_was_heard() -> None:
    _, details = scored(
        "Please call Subramanian at the State Bank of India today.", "call subra maniam at state bank india today ok"
    )
    assert details["alignment"] == [
        ["d", "please"],
        ["=", "call"],
        ["~", "subramanian", "subra maniam"],
        ["=", "at"],
        ["d", "the"],
        ["=", "state bank"],
        ["d", "of"],
        ["=", "india today"],
        ["i", "okay"],
    ]
    assert details["entities_heard"] == [
        {"spelling": "Subramanian", "heard": "subra maniam", "errors": 0, "words": 1},
        {"spelling": "State Bank of India", "heard": "state bank india", "errors": 1, "words": 4},
    ]
    assert details["heard"] == "call subra maniam at state bank india today ok"
    json.dumps(details)


def test_an_accepted_spelling_counts_in_every_rate() -> None:
    other, _ = scored("Call Lakshmi.", "call laxmi")
    assert [other[column] for column in ("wer", "cer", "entity_wer")] == [[0.0], [0.0], [0.0]]
    unlisted, details = scored("Call Lakshmi.", "call luxmi")
    assert unlisted["wer"] == [0.5] and unlisted["entity_wer"] == [1.0]
    assert details["cer_errors"] == 4  # a and k wrong, s and h missing
    assert unlisted["cer"] == [4 / len("call lakshmi")]


NAMES = ("lakshmi", "laxmi", "subramanian", "subramaniam", "subramanyan", "call", "met", "lakshmi's", "laxmi's", "sub")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=7), st.lists(st.sampled_from(NAMES), max_size=7))
def test_accepted_spellings_never_add_errors_and_keep_the_denominators(reference: list[str], heard: list[str]) -> None:
    text, said = " ".join(reference), " ".join(heard)
    strict = compare(text, said, (Entity("Lakshmi", ()), Entity("Subramanian", ())))
    lenient = compare(text, said, (LAKSHMI, SUBRAMANIAN))
    assert lenient.errors <= strict.errors
    assert lenient.counts()["wer_words"] == strict.counts()["wer_words"] == len(reference)
    assert [one["words"] for one in lenient.entities()] == [one["words"] for one in strict.entities()]
    assert sum(one["errors"] for one in lenient.entities()) <= lenient.errors


def test_what_cannot_be_counted_is_refused_with_a_reason() -> None:
    for text, reason in ((None, "no text was given"), (" ", "no text was given"), ("?!", "has no words")):
        scores, details = scored(text, "hello")  # type: ignore[arg-type]
        assert all(reason in scores.reasons[0][column] and math.isnan(scores[column][0]) for column in scores)
        assert details == {}
    for entities, reason in (((), "the text has no entities"), ((SUBRAMANIAN,), "does not contain 'Subramanian'")):
        scores, details = scored("hello there", "hello", entities)
        assert scores["wer"] == [0.5] and math.isnan(scores["entity_wer"][0])
        assert list(scores.reasons[0]) == ["entity_wer"] and reason in scores.reasons[0]["entity_wer"]
        assert "entity_words" not in details


def test_every_judge_has_the_same_columns() -> None:
    columns = wer_columns("by a test")
    assert [column.name for column in columns] == ["wer", "cer", "entity_wer"]
    assert all(column.on_failure == 1.0 and column.better == "lower" for column in columns)
    assert all(column.description.endswith("; by a test") for column in columns)
    assert len(HAND_WORKED) > 20
