"""Measure how often a pronunciation judge is right, on clips whose readings are known, and set its thresholds.

A folder of calibration clips has an index.jsonl with one object per clip: file, text, spelling, accepted, wrong,
reading (the one that is spoken), right (whether that is an accepted one), voice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from metrics.base import Entity
from metrics.pronunciation import words_of
from metrics.pronunciation_fitting import EVERY, Fit, Row
from metrics.pronunciation_judge import IMPOSSIBLE_NATS, Failure, Judgement, NameScore, Part, VariantJudge
from metrics.pronunciation_metric import wrong_readings

SAMPLE_RATE = 16_000
BATCH = 50
_OTHER_NAME = 401  # how much further on stands the clip whose name is tried instead


@dataclass(frozen=True)
class Spoken:
    """A calibration clip."""

    path: Path
    text: str
    entity: Entity
    reading: str
    right: bool
    voice: str

    def samples(self) -> Tensor:
        import soundfile

        samples, rate = soundfile.read(self.path, dtype="float32")
        if rate != SAMPLE_RATE or samples.ndim != 1:
            raise ValueError(f"{self.path} is not mono at {SAMPLE_RATE} Hz: resample it.")
        return torch.from_numpy(samples)


def read_clips(folder: Path) -> list[Spoken]:
    """The clips of a folder that have a wrong reading. Raises ValueError if there is no index or a line is damaged."""
    index = folder / "index.jsonl"
    if not index.is_file():
        raise ValueError(f"{folder} has no index.jsonl, which says what is spoken in each calibration clip.")
    clips: list[Spoken] = []
    for number, line in enumerate(index.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            entity = Entity(entry["spelling"], tuple(entry["accepted"]), tuple(entry["wrong"]))
            path = folder / entry["file"]
            clip = Spoken(path, entry["text"], entity, entry["reading"], bool(entry["right"]), entry["voice"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{index}, line {number} is damaged ({type(error).__name__}: {error}).") from error
        if wrong_readings(entity, "suite"):
            clips.append(clip)
    return clips


def score_clips(judge: VariantJudge, clips: Sequence[Spoken], variants: str) -> Iterator[tuple[Row, str]]:
    """What a judge makes of each clip, in order: the row that thresholds are fitted to, and the likeliest reading.

    Every fifth clip is also judged backwards and with the readings of another clip's name. Raises ValueError if the
    judge has no pronunciation for a word of a clip.
    """
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        samples = [clip.samples() for clip in batch]
        tried = range(-start % EVERY, len(batch), EVERY)
        tasks = [(audio, clip, clip) for audio, clip in zip(samples, batch, strict=True)]
        tasks += [(samples[place], batch[place], _other(clips, start + place)) for place in tried]
        tasks += [(samples[place].flip(0), batch[place], batch[place]) for place in tried]
        sentences = [_sentence(clip, named, variants) for _, clip, named in tasks]
        answers = judge.score_variants([audio for audio, *_ in tasks], sentences)
        scores = [_name_score(answer) for answer in answers]
        others = dict(zip(tried, scores[len(batch) :], strict=False))
        backwards = dict(zip(tried, scores[len(batch) + len(tried) :], strict=True))
        for place, clip in enumerate(batch):
            (part,) = (part for part in sentences[place] if part.wrong)
            score = scores[place]
            row = Row(
                spelling=clip.entity.spelling,
                voice=clip.voice,
                right=clip.right,
                margin=score.margin(part) if score else -IMPOSSIBLE_NATS,
                own=_fit(score),
                other=_fit(others[place]) if place in others else None,
                backwards=_fit(backwards[place]) if place in backwards else None,
            )
            yield row, score.best if score else ""


def _other(clips: Sequence[Spoken], place: int) -> Spoken:
    """The first clip of another name, from some way further on."""
    rest = (clips[(place + _OTHER_NAME + step) % len(clips)] for step in range(len(clips)))
    own = clips[place].entity.spelling
    return next((clip for clip in rest if clip.entity.spelling != own), clips[place])


def _sentence(clip: Spoken, named: Spoken, variants: str) -> tuple[Part, ...]:
    """The text of a clip, with the readings of its own name or of another's."""
    accepted, wrong = named.entity.accepted, wrong_readings(named.entity, variants)
    return tuple(
        Part(word.text, accepted if word.entity else (), wrong if word.entity else ())
        for word in words_of(clip.text, [clip.entity])
    )


def _name_score(answer: Judgement | Failure) -> NameScore | None:
    """Of the only name; None where nothing aligned."""
    if isinstance(answer, Failure):
        raise ValueError(f"A calibration clip cannot be judged: {answer.reason}.")
    return answer.names[0] if answer.names else None


def _fit(score: NameScore | None) -> Fit:
    """Nothing aligned: it fits as badly as can be."""
    if score is None:
        return Fit(-IMPOSSIBLE_NATS, -IMPOSSIBLE_NATS)
    return Fit(score.fit, score.fit if score.context is None else score.context)
