"""Which names of a sentence were said right: the same decision for every judge."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from metrics.base import ClipBatch, ClipInfo, Column, Entity, MetricSpec, Scores
from metrics.clips import broken, require_rate, unusable
from metrics.options import Option, check_values
from metrics.phones import bare, distance
from metrics.pronunciation import Word, words_of
from metrics.pronunciation_calibration import Calibration
from metrics.pronunciation_judge import Failure, NameScore, Part, VariantJudge
from metrics.pronunciation_variants import generated

NOT_ALIGNED = "the clip does not align with its text: it is too short, or something else was said"
COLUMNS = (
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
    Column(
        "pronunciation_gop",
        "nats/frame",
        "higher",
        (-math.inf, math.inf),
        "goodness of pronunciation: log likelihood of the best accepted reading minus that of phones recognised "
        "freely, per 10 ms of the name",
    ),
    Column(
        "pronunciation_distance",
        "",
        "lower",
        (0.0, 1.0),
        "PanPhon's feature distance from the phones recognised freely to the nearest accepted reading",
    ),
)
VARIANTS = Option(
    "suite",
    "wrong readings to compare with: suite, those of the suite; generated, also those of an English voice and with "
    "single phones swapped (harder, and names said rightly are taken for wrong more often)",
    choices=("suite", "generated"),
)


class PronunciationMetric(ABC):
    """Share of a clip's names that were said right, by likelihood of their accepted and their wrong readings.

    The judge says how likely the clip is with each reading of a name. The best accepted against the best wrong reading,
    per frame of the name, is the margin; a name is right above the calibrated threshold, if its best reading fits at
    all. Judged are names with a wrong reading, save those that the calibration found the judge unable to tell apart.
    A clip that is silent or cannot be aligned has no name right.

    Details per clip: `entities`, one per judged occurrence (spelling, right, margin, best, fit, threshold; heard, gop
    and distance where phones were recognised; a `reason` where something else was said), and `entities_not_judged`
    (spelling, reason).
    """

    spec: MetricSpec
    no_open_set = "the judge recognised no phones"  # why gop and distance are missing

    def __init__(self, variants: str) -> None:
        """Raises ValueError if variants is not "suite" or "generated"."""
        check_values(self.spec.name, self.spec.options, variants=variants)
        self._variants = variants

    @property
    @abstractmethod
    def judge(self) -> VariantJudge: ...

    @property
    @abstractmethod
    def calibration(self) -> Calibration: ...

    def score(self, batch: ClipBatch) -> Scores:
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        sentences = self._sentences(batch, scores)
        silent = unusable(batch)
        for index in sentences.keys() & silent.keys():
            self._record(scores, index, sentences[index], None, silent[index])
        loud = [index for index in sentences if index not in silent]
        parts = [self._parts(sentences[index]) for index in loud]
        clips = [batch.clip(index) for index in loud]
        answers = self.judge.score_variants(clips, parts) if clips else []  # else no model is loaded
        for index, sentence, answer in zip(loud, parts, answers, strict=True):
            if isinstance(answer, Failure):
                scores.refuse(index, answer.reason)
            else:
                judged = [part for part in sentence if part.wrong]
                pairs = None if answer.names is None else list(zip(judged, answer.names, strict=True))
                self._record(scores, index, sentences[index], pairs, NOT_ALIGNED)
        return scores

    def applies(self, info: ClipInfo) -> frozenset[str]:
        """Every column where a name of the clip is judged, else none; see `metrics.base.Metric`."""
        refused = self._nothing_to_judge(info, words_of(info.text or "", info.entities))
        return frozenset() if refused else frozenset(column.name for column in self.spec.columns)

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
        if not entity.accepted or not self._wrong(entity):
            return "has no known wrong reading"
        if entity.spelling.lower() in self.calibration.unreliable:
            return "is not judged reliably: on calibration clips the judge could not tell its readings apart"
        return None

    def _wrong(self, entity: Entity) -> tuple[str, ...]:
        return wrong_readings(entity, self._variants)

    def _parts(self, words: Sequence[Word]) -> tuple[Part, ...]:
        return tuple(
            Part(
                word.text,
                word.entity.accepted if word.entity else (),
                self._wrong(word.entity) if word.entity and not self._not_judged(word.entity) else (),
                word.possessive,
            )
            for word in words
        )

    def _record(
        self,
        scores: Scores,
        clip: int,
        words: Sequence[Word],
        judged: Sequence[tuple[Part, NameScore]] | None,
        otherwise: str,
    ) -> None:
        """Write one clip's columns. judged: the judged names in order, or None where they have no scores, and why."""
        entities = [word.entity for word in words if word.entity and not self._not_judged(word.entity)]
        if judged is None:
            decisions = [self._unsaid(entity) | {"reason": otherwise} for entity in entities]
            for column in scores.keys() - {"pronunciation_accuracy"}:
                scores.reasons[clip][column] = otherwise
        else:
            pairs = zip(entities, judged, strict=True)
            decisions = [self._decision(entity, part, score) for entity, (part, score) in pairs]
            scores["pronunciation_margin"][clip] = fmean(decision["margin"] for decision in decisions)
            self._record_open_set(scores, clip, decisions)
        scores["pronunciation_accuracy"][clip] = fmean(decision["right"] for decision in decisions)
        scores.details[clip]["entities"] = decisions

    def _record_open_set(self, scores: Scores, clip: int, decisions: Sequence[dict[str, Any]]) -> None:
        for key in ("gop", "distance"):
            values = [decision[key] for decision in decisions if decision.get(key) is not None]
            if values:
                scores[f"pronunciation_{key}"][clip] = fmean(values)
            else:
                recognised = any("heard" in decision for decision in decisions)
                reason = "no accepted reading aligns with the clip" if recognised else self.no_open_set
                scores.reasons[clip][f"pronunciation_{key}"] = reason

    def _unsaid(self, entity: Entity) -> dict[str, Any]:
        return {
            "spelling": entity.spelling,
            "right": False,
            "threshold": self.calibration.threshold,
            "margin": None,
            "best": None,
            "fit": None,
        }

    def _decision(self, entity: Entity, part: Part, score: NameScore) -> dict[str, Any]:
        margin = score.margin(part)
        decision = self._unsaid(entity) | {"margin": margin, "best": score.best, "fit": score.fit}
        if score.heard is not None:
            decision |= {"heard": score.heard, "gop": score.gop, "distance": distance(score.heard, part.accepted)}
        if misfit := self.calibration.misfit(score.fit, score.context):
            return decision | {"reason": misfit}
        return decision | {"right": margin > self.calibration.threshold}


def wrong_readings(entity: Entity, variants: str) -> tuple[str, ...]:
    """The wrong readings that differ from every accepted one in more than stress, which no judge hears."""
    accepted = {bare(reading) for reading in entity.accepted}
    listed = tuple(reading for reading in entity.wrong if bare(reading) not in accepted)
    return listed + (generated(entity) if variants == "generated" else ())
