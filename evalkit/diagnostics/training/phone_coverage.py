"""Which phones and pairs of phones the texts of a training set contain, by the CMU dictionary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from metrics.phones import IPA, bare
from metrics.pronunciation_words import dictionary

RARE = 20  # occurrences; fewer teach a voice little
USUAL_DIPHONE = 20  # words of the dictionary that a pair of phones must occur in to be missed
MOST_NAMED = 20  # unknown words that are named
MOST_REMEMBERED = 10_000  # different unknown words that are counted one by one, so that memory stays bounded

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+")


class PhoneCounter:
    """Counts the phones of texts, one text after another. Of a word with several readings the first counts."""

    def __init__(self) -> None:
        self.words = 0
        self.unknown = 0  # words that the dictionary lacks, numbers in digits among them
        self._unknown: Counter[str] = Counter()
        self._phones: Counter[str] = Counter()
        self._diphones: set[tuple[str, str]] = set()

    def add(self, text: str) -> None:
        """Raises ImportError where pocketsphinx, which holds the dictionary, is not installed."""
        readings = _readings()
        for word in _WORD.findall(text.lower().replace("’", "'")):
            self.words += 1
            phones = readings.get(word) or readings.get(word.removesuffix("'s"))
            if phones is None:
                self._miss(word)
                continue
            self._phones.update(phones)
            self._diphones.update(pairwise(phones))

    def coverage(self) -> dict[str, Any] | None:
        """covered, of, missing and rare phones, counts; diphones inside words; unknown words. None without a word.

        diphones: how many of the pairs that occur inside at least `USUAL_DIPHONE` words of the dictionary.
        """
        if self.words == 0:
            return None
        usual = _usual_diphones()
        missing = [phone for phone in IPA if not self._phones[phone]]
        return {
            "covered": len(IPA) - len(missing),
            "of": len(IPA),
            "missing": missing,
            "rare": [phone for phone in IPA if 0 < self._phones[phone] < RARE],
            "rare_below": RARE,
            "counts": {phone: self._phones[phone] for phone in IPA},
            "diphones": {"covered": len(self._diphones & usual), "of": len(usual)},
            "words": self.words,
            "unknown_words": self.unknown,
            "unknown": [word for word, _ in self._unknown.most_common(MOST_NAMED)],
        }

    def _miss(self, word: str) -> None:
        self.unknown += 1
        if word in self._unknown or len(self._unknown) < MOST_REMEMBERED:
            self._unknown[word] += 1


@lru_cache(maxsize=1)
def _readings() -> Mapping[str, tuple[str, ...]]:
    try:
        words = dictionary()
    except ValueError as error:
        raise ImportError(str(error)) from error
    return {word: tuple(bare(readings[0]).split()) for word, readings in words.items()}


@lru_cache(maxsize=1)
def _usual_diphones() -> frozenset[tuple[str, str]]:
    words: Counter[tuple[str, str]] = Counter()
    for phones in _readings().values():
        words.update(set(pairwise(phones)))
    return frozenset(pair for pair, count in words.items() if count >= USUAL_DIPHONE)
