"""Which phones an engine's front end read a name with, before any sound is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from metrics.base import ClipBatch, ClipInfo, Column, MetricSpec, Passport, Scores
from metrics.packages import missing_packages, package_file, sha256, versions
from metrics.phones import fold, heard_phones
from metrics.phones_alignment import Slot, align
from metrics.pocketsphinx_decoder import DICTIONARY
from metrics.pronunciation import Word, words_of
from metrics.pronunciation_words import dictionary, spoken


class FrontendAccuracy:
    """Share of a clip's entities that the engine's front end read with an accepted reading; no audio is used.

    The engine's phonemes (`ClipInfo.phonemes`, ARPAbet or IPA) are aligned with the sentence: plain words as the CMU
    dictionary has them, words that it lacks as anything, entities by their accepted readings. An entity is right if
    the best alignment has its phones without an edit. Stress does not count, nor what `metrics.phones.fold` and its
    table of IPA symbols take for one: ʋ and v, ɾ, r and ɹ, plain, dental, retroflex and aspirated consonants.

    Details per clip: `frontend_entities`, one per occurrence (spelling, right).
    """

    spec = MetricSpec(
        name="frontend",
        version="1",
        columns=(
            Column(
                "frontend_accuracy",
                "",
                "higher",
                (0.0, 1.0),
                "share of the entities that the engine's front end read with an accepted reading, by its phonemes",
            ),
        ),
        sample_rate=None,
        needs=frozenset({"phonemes", "entities", "text"}),
        judge="none",
        source="edit distance of the engine's phonemes to the accepted readings (Wagner and Fischer 1974)",
    )

    def __init__(self, device: str = "cpu") -> None:
        pass

    @cached_property
    def _words(self) -> Mapping[str, Sequence[str]]:
        return dictionary()

    def score(self, batch: ClipBatch) -> Scores:
        scores = Scores(self.spec, len(batch))
        for index, info in enumerate(batch.info):
            words = words_of(info.text or "", info.entities)
            if reason := _nothing_to_compare(info, words):
                scores.refuse(index, reason)
            else:
                decisions = self._decisions(info.phonemes or "", words)
                scores["frontend_accuracy"][index] = sum(right["right"] for right in decisions) / len(decisions)
                scores.details[index]["frontend_entities"] = decisions
        return scores

    def _decisions(self, phonemes: str, words: Sequence[Word]) -> list[dict[str, Any]]:
        named = [word.entity for word in words if word.entity and word.entity.accepted]
        rights = align(heard_phones(phonemes), [self._slot(word) for word in words])
        return [{"spelling": entity.spelling, "right": right} for entity, right in zip(named, rights, strict=True)]

    def _slot(self, word: Word) -> Slot:
        entity = word.entity
        readings = entity.accepted if entity else self._words.get(word.text, ())
        alternatives = tuple(dict.fromkeys(fold(spoken(reading, word.possessive)) for reading in readings))
        return Slot(alternatives, name=bool(entity and entity.accepted), words=len(word.text.split()))

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="none",
            parameters={"cmudict_sha256": sha256(package_file("pocketsphinx", DICTIONARY))},
            packages=versions("pocketsphinx", "torch"),
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("pocketsphinx",), "bundled")  # its dictionary says how plain words are read


def _nothing_to_compare(info: ClipInfo, words: Sequence[Word]) -> str | None:
    if not (info.phonemes or "").strip():
        return "the engine does not tell the phonemes that it read"
    if not (info.text or "").strip():
        return "no text was given, so no name can be found in the phonemes"
    if not any(word.entity and word.entity.accepted for word in words):
        return "the text has no names whose readings are known"
    return None
