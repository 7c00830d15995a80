"""Wrong readings that nobody listed: what an English voice makes of a spelling, and swaps of single phones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from metrics.base import Entity
from metrics.packages import package_file
from metrics.phones import VOWELS, fold

ENGLISH_READINGS = "data/english_readings.json"  # made once by fixtures/calibration/derive_english.py

# Swaps that English voices make in Indian names (vowels read by English spelling rules, ch as in chorus, j as in Gita)
# and that the bundled judge hears: on 210 rendered right readings each of them was taken for the truth in at most
# 1.5 % of the places where it applies. Left out for that: AH>AE 9.4 %, OW>AW 7.4 %, T>TH 3.8 %, S>Z 2.6 %, AA>AE 2.5 %,
# AH>IY 2.4 %, SH>S 2.4 %, OW>AA 2.1 %, and AH/UH and ER/EH, which it hardly hears. V>W is left out because Indian
# English has one sound for both. Where an English voice makes one of these, its reading of the spelling has it.
SWAPS: Mapping[str, tuple[str, ...]] = {
    "AA": ("EY",),
    "AY": ("EY", "IY"),
    "CH": ("K", "SH"),
    "D": ("DH",),
    "EY": ("AY", "IY"),
    "IH": ("AY",),
    "IY": ("AY", "EH"),
    "JH": ("G", "ZH"),
    "S": ("SH",),
    "UW": ("AH", "Y UW"),
}


def generated(entity: Entity) -> tuple[str, ...]:
    """Wrong readings of an entity beyond its own, in ARPAbet: those of an English voice, then every single swap.

    One that is an accepted reading, or the same as one before it (see `metrics.phones.fold`), is not among them.
    """
    known = {fold(reading) for reading in (*entity.accepted, *entity.wrong)}
    candidates = [*_english_readings().get(entity.spelling.lower(), ())]
    candidates += [reading for accepted in entity.accepted for reading in swapped(accepted)]
    new: list[str] = []
    for reading in candidates:
        if fold(reading) not in known:
            known.add(fold(reading))
            new.append(reading)
    return tuple(new)


def swapped(reading: str) -> Iterator[str]:
    """A reading with one phone replaced, for every phone and every rule in turn; a new vowel keeps the stress."""
    phones = reading.split()
    for place, phone in enumerate(phones):
        name = phone.rstrip("012")
        for other in SWAPS.get(name, ()):
            written = [part + phone[len(name) :] if part in VOWELS else part for part in other.split()]
            yield " ".join([*phones[:place], *written, *phones[place + 1 :]])


@lru_cache(maxsize=1)
def _english_readings() -> Mapping[str, Sequence[str]]:
    data = json.loads(package_file("metrics", ENGLISH_READINGS).read_text(encoding="utf-8"))
    return {spelling.lower(): readings for spelling, readings in data["readings"].items()}
