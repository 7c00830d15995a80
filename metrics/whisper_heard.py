"""What a Whisper judge heard in a clip, how far to trust it, and the columns that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from metrics.base import ClipBatch, MetricSpec, Scores
from metrics.clips import SILENCE_DBFS, broken, require_rate, unusable
from metrics.text import NORMALIZER_VERSION
from metrics.wer import no_reference, record_heard

# The values of `whisper.transcribe`.
COMPRESSION_RATIO = 2.4  # of a text above which it repeats itself
LOGPROB = -1.0  # mean per token, below which the model guesses
NO_SPEECH = 0.6  # probability of the no-speech token, above which a guess is silence
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

# The most tokens that a clip may have: so many a second, and some to begin with. English speech has 3 to 4 a second,
# with many names 8; the scripts of India need up to 16 a word.
TOKENS_PER_S = {"en": 8}
TOKENS_PER_S_ELSE = 40
TOKENS_AT_ONCE = 20
MOST_TOKENS = 224  # half of the text context: Whisper's own limit for a window of 30 s

# Speech of more words than 6 a second, and 2 for the rounding of short clips, does not occur.
_WORDS_PER_S, _WORDS_AT_ONCE = 6, 2


def token_limit(language: str, seconds: float) -> int:
    """The most tokens that a clip of this duration may have."""
    rate = TOKENS_PER_S.get(language, TOKENS_PER_S_ELSE)
    return min(MOST_TOKENS, math.ceil(rate * seconds) + TOKENS_AT_ONCE)


@dataclass(frozen=True)
class Evidence:
    """What the model says of its own tokens, named as in `whisper.decoding.DecodingResult`.

    cut: it was stopped at the most tokens that speech of this duration can have.
    """

    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    cut: bool

    @property
    def repeats(self) -> bool:
        return self.compression_ratio > COMPRESSION_RATIO

    @property
    def guessed(self) -> bool:
        return self.avg_logprob < LOGPROB

    @property
    def silence(self) -> bool:
        """Whether `transcribe` leaves the window out."""
        return self.no_speech_prob > NO_SPEECH and not self.avg_logprob > LOGPROB

    @property
    def failed(self) -> bool:
        """Whether to try again at a higher temperature: as `transcribe`, and where the end of a loop was cut off."""
        silence = self.no_speech_prob > NO_SPEECH and self.guessed
        return not silence and (self.repeats or self.guessed or self.cut)


def worst(windows: Sequence[Evidence]) -> Evidence | None:
    """The least trustworthy of each figure; None of no window, which is what silence leaves."""
    if not windows:
        return None
    return Evidence(
        avg_logprob=min(one.avg_logprob for one in windows),
        no_speech_prob=max(one.no_speech_prob for one in windows),
        compression_ratio=max(one.compression_ratio for one in windows),
        temperature=max(one.temperature for one in windows),
        cut=any(one.cut for one in windows),
    )


@dataclass(frozen=True)
class Heard:
    """A transcript of a clip. evidence: None where no window of it was taken for speech."""

    text: str
    seconds: float
    evidence: Evidence | None

    def flags(self) -> list[str]:
        """Why not to trust the transcript, which is scored all the same."""
        if self.evidence is None:
            return ["no_speech"]
        too_fast = len(self.text.split()) > _WORDS_PER_S * self.seconds + _WORDS_AT_ONCE
        found = {
            "no_speech": not self.text and self.evidence.silence,
            "hallucination": too_fast or self.evidence.cut,
            "repetition": self.evidence.repeats,
            "low_confidence": self.evidence.guessed,
            "length_limit": self.evidence.cut,
            "fallback": self.evidence.temperature > 0,
        }
        return [flag for flag, true in found.items() if true]

    def details(self) -> dict[str, Any]:
        flags: dict[str, Any] = {"asr_flags": self.flags()}
        if self.evidence is None:
            return flags
        return flags | {
            "asr_avg_logprob": self.evidence.avg_logprob,
            "asr_no_speech_prob": self.evidence.no_speech_prob,
            "asr_compression_ratio": self.evidence.compression_ratio,
            "asr_temperature": self.evidence.temperature,
        }


def parameters(language: str, beam: int, dtype: str, temperatures: Sequence[float]) -> dict[str, Any]:
    """Of a judge's passport: everything that a transcript and its flags depend on beside the weights."""
    return {
        "language": language,
        "beam": max(1, beam),
        "dtype": dtype,
        "temperatures": list(temperatures),
        "timestamps": "only of clips over 30 s",
        "tokens_per_s": TOKENS_PER_S.get(language, TOKENS_PER_S_ELSE),
        "tokens_at_once": TOKENS_AT_ONCE,
        "compression_ratio": COMPRESSION_RATIO,
        "logprob": LOGPROB,
        "no_speech": NO_SPEECH,
        "normalizer": NORMALIZER_VERSION,
        "silence_dbfs": SILENCE_DBFS,
        "resampler": "soxr_hq by the caller",
    }


def score_heard(spec: MetricSpec, batch: ClipBatch, hear: Callable[[Sequence[Tensor]], Sequence[Heard]]) -> Scores:
    """Columns and details of every clip: `hear` gets the clips that can be heard, float32 [samples] each.

    A silent clip is one in which nothing was heard, not one to hallucinate on.
    """
    require_rate(batch, spec)
    scores = Scores(spec, len(batch))
    refused = broken(batch) | {i: reason for i, info in enumerate(batch.info) if (reason := no_reference(info))}
    for index, reason in refused.items():
        scores.refuse(index, reason)
    silent = unusable(batch).keys() - refused.keys()
    for index in silent:
        record_heard(scores, index, batch.info[index], "")
        scores.details[index]["asr_flags"] = []
    loud = [index for index in range(len(batch)) if index not in refused and index not in silent]
    if not loud:
        return scores
    for index, heard in zip(loud, hear([batch.clip(index) for index in loud]), strict=True):
        if heard.evidence is not None and math.isnan(heard.evidence.avg_logprob):
            scores.refuse(index, "the model's probabilities are not numbers, in this precision at least: try float32")
            continue
        record_heard(scores, index, batch.info[index], heard.text)
        scores.details[index] |= heard.details()
    return scores
