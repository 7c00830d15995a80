"""Deliberate errors in normalising, counting and finding names: each is caught by a check that passes without it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from parity_wer import (
    check_all_cases,
    check_hand_worked,
    check_rates_are_those_of_jiwer,
    check_the_alignment_rebuilds_both_sides,
)

from metrics import text, text_entities, text_numbers, text_written, wer
from metrics.text_entities import Place
from metrics.wer import Comparison, Step

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    text.normalize.cache_clear()
    yield
    text.normalize.cache_clear()


def a_crore_is_a_lakh(patch: Patch) -> None:
    patch.setitem(text_numbers.SCALES, "crore", 10**5)


def months_count_from_zero(patch: Patch) -> None:
    patch.setattr(text_written, "MONTHS", ("", *text_written.MONTHS))


def vowel_signs_are_dropped(patch: Patch) -> None:
    in_word = text._in_word
    patch.setattr(
        text, "_in_word", lambda words, place: unicodedata.category(words[place])[0] != "M" and in_word(words, place)
    )


def composed_and_decomposed_letters_differ(patch: Patch) -> None:
    patch.setattr(text, "_unaccented", lambda words: words)


def five_paise_are_half_a_rupee(patch: Patch) -> None:
    hundredths = text._hundredths

    def unpadded(rest: list[str], unit: str) -> tuple[str, int]:
        digits, length = hundredths(rest, unit)
        return digits.replace(".0", "."), length

    patch.setattr(text, "_hundredths", unpadded)


def initials_make_a_title(patch: Patch) -> None:
    patch.setattr(text, "_NOT_JOINED", "")


def initials_in_capitals_are_a_title(patch: Patch) -> None:
    patch.setattr(text, "_INITIALS", re.compile("(?!)"))


def numbers_are_read_through_punctuation(patch: Patch) -> None:
    patch.setattr(text, "_between_words", lambda words, place: " ")


def every_oh_tells_a_time(patch: Patch) -> None:
    patch.setattr(text_numbers, "_meridiem", lambda tokens, at: True)


def one_pass_only(patch: Patch) -> None:
    patch.setattr(text, "_MOST_PASSES", 1)


def deletions_are_not_counted(patch: Patch) -> None:
    kind = Comparison._kind
    patch.setattr(Comparison, "_kind", lambda self, step: kind(self, step).replace("d", "="))


def heard_words_are_the_denominator(patch: Patch) -> None:
    _change_counts(patch, lambda comparison: {"wer_words": max(len(comparison.said), 1)})


def blanks_are_no_characters(patch: Patch) -> None:
    _change_counts(patch, lambda comparison: {"cer_chars": len("".join(comparison.wanted))})


def _change_counts(patch: Patch, changes: Callable[[Comparison], dict[str, Any]]) -> None:
    counts = Comparison.counts
    patch.setattr(Comparison, "counts", lambda self: counts(self) | changes(self))


def an_entity_is_found_one_word_late(patch: Patch) -> None:
    places = text_entities.places

    def late(reference: str, words: list[str], entities: Any) -> list[Place]:
        found = places(reference, words, entities)
        return [replace(one, start=one.start + 1, end=one.end + 1) for one in found if one.end < len(words)]

    patch.setattr(wer, "places", late)


def possessives_are_not_found(patch: Patch) -> None:
    patch.setattr(text_entities, "_POSSESSIVE", "")


def only_the_own_spelling_is_accepted(patch: Patch) -> None:
    patch.setattr(Comparison, "accepting", lambda self, place: self)


def accepted_spellings_hold_everywhere(patch: Patch) -> None:
    def everywhere(self: Comparison, place: Place) -> Comparison:
        own = " ".join(self.wanted[place.start : place.end])
        said = tuple(replace(one, word=own) if one.word in place.written else one for one in self.said)
        return replace(self, said=said)

    patch.setattr(Comparison, "accepting", everywhere)


def words_inside_an_entity_are_not_counted(patch: Patch) -> None:
    kind, entity = Comparison._kind, Comparison._entity

    def without(self: Comparison, place: Place) -> dict[str, Any]:
        steps = [step for step in self.steps if step.wanted in range(place.start, place.end)]
        return entity(self, place) | {"errors": sum(kind(self, step) in wer.ERRORS for step in steps)}

    patch.setattr(Comparison, "_entity", without)


def words_before_an_entity_are_its_own(patch: Patch) -> None:
    entity = Comparison._entity

    def widened(self: Comparison, place: Place) -> dict[str, Any]:
        first = next(number for number, step in enumerate(self.steps) if step.wanted == place.start)
        before = first > 0 and self.steps[first - 1].wanted is None
        found = entity(self, place)
        return found | {"errors": found["errors"] + before}

    patch.setattr(Comparison, "_entity", widened)


def the_alignment_loses_a_step(patch: Patch) -> None:
    align = wer._align

    def short(*sides: Any) -> list[Step]:
        return align(*sides)[:-1]

    patch.setattr(wer, "_align", short)


CHECKS = {
    check_all_cases: (
        a_crore_is_a_lakh,
        months_count_from_zero,
        vowel_signs_are_dropped,
        composed_and_decomposed_letters_differ,
        five_paise_are_half_a_rupee,
        initials_make_a_title,
        initials_in_capitals_are_a_title,
        numbers_are_read_through_punctuation,
        every_oh_tells_a_time,
        one_pass_only,
    ),
    check_rates_are_those_of_jiwer: (
        deletions_are_not_counted,
        heard_words_are_the_denominator,
        blanks_are_no_characters,
    ),
    check_hand_worked: (
        an_entity_is_found_one_word_late,
        possessives_are_not_found,
        only_the_own_spelling_is_accepted,
        accepted_spellings_hold_everywhere,
        words_inside_an_entity_are_not_counted,
        words_before_an_entity_are_its_own,
    ),
    check_the_alignment_rebuilds_both_sides: (the_alignment_loses_a_step,),
}


@pytest.mark.parametrize(
    ("check", "mutation"),
    [(check, mutation) for check, mutations in CHECKS.items() for mutation in mutations],
    ids=lambda function: function.__name__,
)
def test_the_error_is_caught(
    check: Callable[[], None], mutation: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    check()
    mutation(monkeypatch)
    text.normalize.cache_clear()
    with pytest.raises(AssertionError):
        check()
