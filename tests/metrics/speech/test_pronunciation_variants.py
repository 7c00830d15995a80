"""Wrong readings that nobody listed."""

from __future__ import annotations

import pytest

from evalkit.suites import load_suite
from metrics.base import Entity
from metrics.phones import VOWELS, fold
from metrics.pronunciation_metric import wrong_readings
from metrics.pronunciation_variants import SWAPS, generated, swapped


@pytest.mark.parametrize(
    ("reading", "swaps"),
    [
        ("IH1 D L IY0", ["AY1 D L IY0", "IH1 DH L IY0", "IH1 D L AY0", "IH1 D L EH0"]),
        ("UW1", ["AH1", "Y UW1"]),
        ("CH AA0", ["K AA0", "SH AA0", "CH EY0"]),
        ("L AH0 K", []),
    ],
)
def test_single_phone_swaps_keep_the_stress(reading: str, swaps: list[str]) -> None:
    assert list(swapped(reading)) == swaps


def test_generated_readings_are_new_and_the_english_voices_come_first() -> None:
    entity = Entity("Idli", ("IH1 D L IY0",), ("AY0 D L IY0",))
    assert generated(entity) == ("IH1 DH L IY0", "IH1 D L AY0", "IH1 D L EH0")
    saravana = generated(Entity("SARAVANA", ("S AH0 R AH1 V AH0 N AA0",)))
    assert saravana[0] == "S AE0 R AH0 V AA0 N AH0"  # espeak-ng en-us
    assert wrong_readings(entity, "suite") == entity.wrong
    assert wrong_readings(entity, "generated") == entity.wrong + generated(entity)


def test_no_generated_reading_of_the_suite_is_an_accepted_one() -> None:
    entities = {entity.spelling: entity for item in load_suite("indian-names").items for entity in item.entities}
    phones = {phone for rule in SWAPS.values() for text in rule for phone in text.split()}
    assert len(entities) > 150 and phones
    for listed in entities.values():
        entity = Entity(listed.spelling, tuple(listed.accepted), tuple(listed.wrong))
        new = [fold(reading) for reading in generated(entity)]
        known = {fold(reading) for reading in (*entity.accepted, *entity.wrong)}
        assert len(set(new)) == len(new) and not known & set(new)
        for reading in generated(entity):
            assert all(phone[-1] in "012" for phone in reading.split() if phone.rstrip("012") in VOWELS), reading
