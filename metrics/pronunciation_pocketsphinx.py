"""Pronunciation by pocketsphinx: which of its known readings a name was spoken with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

from metrics.base import ClipBatch, ClipInfo, Column, Entity, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, broken, require_rate, unusable
from metrics.packages import missing_packages, package_file, sha256, versions
from metrics.pocketsphinx_decoder import DITHER, PADDING_S, SAMPLE_RATE, bare, to_pcm, weights
from metrics.pocketsphinx_judge import EXTRA_WORDS, Failure, Judge, Judgement, Part, Verdict
from metrics.pocketsphinx_pool import PocketsphinxPool
from metrics.pronunciation import Word, words_of
from metrics.pronunciation_calibration import CALIBRATION_FILE, Calibration

NOT_ALIGNED = "the clip does not align with its text: it is too short, or something else was said"


class PocketsphinxPronunciation:
    """Share of a clip's names that were said right, by likelihood of their accepted and their wrong readings.

    The clip is aligned with its whole text, once with all readings of a name and once with only those of the kind
    (accepted or wrong) that lost. The difference per frame of the name is the margin; a name is right above the
    calibrated threshold, if its best reading fits at all. Judged are names with a wrong reading, save those that the
    calibration found the judge unable to tell apart; `spec` and `passport` say how often the judge itself is right. A
    clip that is silent or cannot be aligned has no name right.

    Details per clip: `entities`, one per judged occurrence (spelling, right, margin, best, fit, threshold, and a
    `reason` where something else was said), and `entities_not_judged` (spelling, reason).
    """

    spec = MetricSpec(
        name="pronunciation",
        version="1",
        columns=(
            Column(
                "pronunciation_accuracy",
                "",
                "higher",
                (0.0, 1.0),
                "share of the judged names that were said with an accepted reading",
                on_failure=0.0,
            ),
            Column(
                "pronunciation_margin",
                "nats/frame",
                "higher",
                (-math.inf, math.inf),
                "log likelihood of the best accepted minus the best wrong reading, per 10 ms of the name",
            ),
        ),
        sample_rate=SAMPLE_RATE,
        needs=frozenset({"text", "entities"}),
        judge="bundled",
        source="forced alignment by pocketsphinx 5.1.1 with the en-us acoustic model and cmudict of its wheel",
    )

    def __init__(self, device: str = "cpu", workers: int | None = None) -> None:
        """workers: processes that align, by default one per core and at most 4. They change no score."""
        self._pool = PocketsphinxPool(workers)

    @cached_property
    def _calibration(self) -> Calibration:
        return Calibration.read()

    def score(self, batch: ClipBatch) -> Scores:
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        sentences = self._sentences(batch, scores)
        silent = unusable(batch)
        loud = [index for index in sentences if index not in silent]
        tasks = [Judge(to_pcm(batch.clip(index).cpu().numpy()), self._parts(sentences[index])) for index in loud]
        for index in sentences.keys() & silent.keys():
            self._record(scores, index, sentences[index], None, silent[index])
        for index, answer in zip(loud, self._pool.run(tasks), strict=True):
            if isinstance(answer, Failure):
                scores.refuse(index, answer.reason)
            else:
                assert isinstance(answer, Judgement)
                self._record(scores, index, sentences[index], answer.verdicts, NOT_ALIGNED)
        return scores

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def _sentences(self, batch: ClipBatch, scores: Scores) -> dict[int, list[Word]]:
        """Clips with a name to judge, by index; the others are refused in `scores`."""
        sentences: dict[int, list[Word]] = {}
        damaged = broken(batch)
        for index, info in enumerate(batch.info):
            words = words_of(info.text or "", info.entities)
            reason = damaged.get(index) or self._nothing_to_judge(info, words)
            skipped = [{"spelling": entity.spelling, "reason": why} for entity, why in self._skipped(words)]
            if skipped:
                scores.details[index]["entities_not_judged"] = skipped
            if reason:
                scores.refuse(index, reason)
            else:
                sentences[index] = words
        return sentences

    def _nothing_to_judge(self, info: ClipInfo, words: Sequence[Word]) -> str | None:
        if not (info.text or "").strip():
            return "no text was given, so no name can be found in the clip"
        if not info.entities:
            return "the text has no names whose readings are known"
        found = [word.entity for word in words if word.entity]
        if not found:
            return f"the text does not contain {', '.join(repr(entity.spelling) for entity in info.entities)}"
        reasons = [self._not_judged(entity) for entity in found]
        return None if None in reasons else f"no name is judged: {found[0].spelling} {reasons[0]}"

    def _skipped(self, words: Sequence[Word]) -> list[tuple[Entity, str]]:
        reasons = [(word.entity, self._not_judged(word.entity)) for word in words if word.entity]
        return [(entity, reason) for entity, reason in reasons if reason]

    def _not_judged(self, entity: Entity) -> str | None:
        """Why an entity is not judged, None if it is."""
        if not entity.accepted or not _wrong(entity):
            return "has no known wrong reading"
        if entity.spelling.lower() in self._calibration.unreliable:
            return "is not judged reliably: on calibration clips the judge could not tell its readings apart"
        return None

    def _parts(self, words: Sequence[Word]) -> tuple[Part, ...]:
        return tuple(
            Part(
                word.text,
                word.entity.accepted if word.entity else (),
                _wrong(word.entity) if word.entity and not self._not_judged(word.entity) else (),
                word.possessive,
            )
            for word in words
        )

    def _record(
        self, scores: Scores, clip: int, words: Sequence[Word], verdicts: Sequence[Verdict] | None, otherwise: str
    ) -> None:
        """Write one clip's columns. verdicts: one per judged name, or None where there are none, for a reason."""
        judged = [word.entity for word in words if word.entity and not self._not_judged(word.entity)]
        if verdicts is None:
            decisions = [self._decision(entity, None, otherwise) for entity in judged]
            scores.reasons[clip]["pronunciation_margin"] = otherwise
        else:
            pairs = zip(judged, verdicts, strict=True)
            decisions = [self._decision(entity, verdict, otherwise) for entity, verdict in pairs]
            scores["pronunciation_margin"][clip] = fmean(verdict.margin for verdict in verdicts)
        scores["pronunciation_accuracy"][clip] = fmean(decision["right"] for decision in decisions)
        scores.details[clip]["entities"] = decisions

    def _decision(self, entity: Entity, verdict: Verdict | None, otherwise: str) -> dict[str, Any]:
        threshold = self._calibration.threshold
        decision: dict[str, Any] = {"spelling": entity.spelling, "right": False, "threshold": threshold}
        if verdict is None:
            return decision | {"margin": None, "best": None, "fit": None, "reason": otherwise}
        decision |= {"margin": verdict.margin, "best": verdict.best, "fit": verdict.fit}
        if misfit := self._calibration.misfit(verdict.fit, verdict.context):
            return decision | {"reason": misfit}
        return decision | {"right": verdict.margin > threshold}

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="pocketsphinx en-us alignment",
            weights_sha256=weights(language_model=False),
            parameters={
                "threshold": self._calibration.threshold,
                "lowest_fit": self._calibration.lowest_fit,
                "largest_drop": self._calibration.largest_drop,
                "calibration_sha256": sha256(package_file("metrics", CALIBRATION_FILE)),
                "extra_words_sha256": sha256(package_file("metrics", EXTRA_WORDS)),
                "padding_s": PADDING_S,
                "dither_lsb": DITHER,
                "silence_dbfs": SILENCE_DBFS,
                "resampler": "soxr_hq by the caller",
            },
            packages=versions("numpy", "pocketsphinx", "torch"),
            accuracy=self._calibration.accuracy,
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("pocketsphinx",), "bundled")


def _wrong(entity: Entity) -> tuple[str, ...]:
    """The wrong readings that differ from every accepted one in more than stress, which the judge does not hear."""
    accepted = {bare(reading) for reading in entity.accepted}
    return tuple(reading for reading in entity.wrong if bare(reading) not in accepted)
