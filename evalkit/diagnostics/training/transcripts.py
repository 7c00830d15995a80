"""Texts that cannot be what is said: by how fast they would have to be spoken, and by what a judge hears."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt

from evalkit.diagnostics.training.robust import centres_and_spreads
from evalkit.diagnostics.training.rows import batches

MOST_LETTERS_PER_S = 35.0  # of the whole clip; the fastest speakers reach about 25
FEWEST_LETTERS_PER_S = 2.0  # of speech, where there are at least `SPEECH_S`
SPEECH_S = 4.0
DIGIT_LETTERS = 4  # that a digit is worth when it is spoken
MIN_CLIPS = 20  # of a speaker, to know the usual rate
DEVIATIONS = 5.0
LEAST_SPREAD = 0.1  # of the logarithm of the rate
LEAST_FACTOR = 1.5  # that a rate must differ by from the usual one
WER_MIN_CLIPS = 5  # heard of a speaker, to know the usual WER
WER_DEVIATIONS = 4.0
WER_LEAST_SPREAD = 0.1
WER_LEAST = 0.7  # below it a text is not another one, it is misheard
WER_SURE = 0.95  # hardly a word is right: however much the usual WER varies, that is another text
CER_LEAST = 0.6  # "Good morning" heard as "could mourning" has no word right
WER_USELESS = 0.7  # a usual WER above it says nothing of single clips

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mismatch:
    """A clip whose text is not what is said. says: why; severity: the greater, the surer."""

    id: str
    says: str
    severity: float


@dataclass(frozen=True)
class Heard:
    """What a judge heard of a clip, against its text."""

    wer: float
    cer: float
    words: str


def mismatches(clips: Path, heard: Mapping[str, Heard] | None = None) -> Iterator[Mismatch]:
    """In the order of the set. heard: by id, what a judge heard (`hearing.hear`), for the clips that it was given.

    Found without a judge: a text that would be spoken faster or slower than anybody speaks, or than this speaker
    usually does (letters per second of speech, by the median and the median absolute deviation of its logarithm; short
    texts may vary more); and a clip without text where most clips of its speaker have one.
    """
    rates = _Rates(clips)
    usual = usual_wers(clips, heard or {})
    for row in _rows(clips):
        reason = _no_text(row, rates) or _impossible(row) or rates.unusual(row)
        reason = reason or _misheard((heard or {}).get(row["id"]), usual.get(row["speaker"]))
        if reason is not None:
            yield Mismatch(row["id"], *reason)


def usual_wers(clips: Path, heard: Mapping[str, Heard]) -> dict[str, tuple[float, float]]:
    """Speaker -> median and spread of the WER, of those with at least `WER_MIN_CLIPS` clips heard."""
    if not heard:
        return {}
    wers: dict[str, list[float]] = {}
    for row in _rows(clips):
        if row["id"] in heard:
            wers.setdefault(row["speaker"], []).append(heard[row["id"]].wer)
    enough = {speaker: values for speaker, values in wers.items() if len(values) >= WER_MIN_CLIPS}
    found = {}
    for speaker, values in enough.items():
        (centre,), (spread,) = centres_and_spreads(np.array(values), np.zeros(len(values), dtype=np.int64), 1)
        found[speaker] = (float(centre), float(spread))
    return found


def notices(usual: Mapping[str, tuple[float, float]]) -> list[str]:
    """What to know of whole speakers: texts that are shifted by a line make every clip wrong, and none an outlier."""
    return [
        f"{speaker}: in most clips a judge hears other words than the text (median WER {centre:.2f}). Either the texts "
        "belong to other clips (a list that slipped by a line?), or the judge does not follow this speaker or language."
        for speaker, (centre, _) in usual.items()
        if centre >= WER_USELESS
    ]


def letters(text: str) -> int:
    """Letters of a text as it is spoken: a digit stands for a word."""
    return sum(DIGIT_LETTERS if sign.isdigit() else sign.isalpha() for sign in text)


class _Rates:
    """How fast each speaker speaks."""

    def __init__(self, clips: Path) -> None:
        self._numbers: dict[str, int] = {}
        logs: list[float] = []
        weights: list[float] = []
        owners: list[int] = []
        self._texts: dict[str, list[int]] = {}
        for row in _rows(clips):
            counts = self._texts.setdefault(row["speaker"], [0, 0])
            counts[0] += bool((row["text"] or "").strip())
            counts[1] += 1
            if (rate := _rate(row)) is not None:
                logs.append(math.log(rate[0]))
                weights.append(_weight(rate[1]))
                owners.append(self._numbers.setdefault(row["speaker"], len(self._numbers)))
        groups, values = np.array(owners, dtype=np.int64), np.array(logs, dtype=np.float64)
        self._usual, _ = centres_and_spreads(values, groups, len(self._numbers))
        scaled = np.abs(values - self._usual[groups]) * np.array(weights, dtype=np.float64)
        medians, _ = centres_and_spreads(scaled, groups, len(self._numbers))
        self._spreads: Floats = np.maximum(1.4826 * medians, LEAST_SPREAD)
        self._counts: Ints = np.bincount(groups, minlength=len(self._numbers))

    def has_texts(self, speaker: str) -> bool:
        """Whether most clips of the speaker have a text."""
        with_text, clips = self._texts[speaker]
        return 2 * with_text > clips

    def unusual(self, row: Mapping[str, Any]) -> tuple[str, float] | None:
        rate = _rate(row)
        number = self._numbers.get(row["speaker"])
        if rate is None or number is None or self._counts[number] < MIN_CLIPS:
            return None
        off = math.log(rate[0]) - float(self._usual[number])
        deviations = abs(off) * _weight(rate[1]) / float(self._spreads[number])
        if deviations < DEVIATIONS or abs(off) < math.log(LEAST_FACTOR):
            return None
        usual = math.exp(float(self._usual[number]))
        return (
            f"its text makes {rate[0]:.1f} letters per second of speech; usual for the speaker is {usual:.1f}",
            deviations,
        )


def _no_text(row: Mapping[str, Any], rates: _Rates) -> tuple[str, float] | None:
    if row["seconds"] is None or (row["text"] or "").strip() or not rates.has_texts(row["speaker"]):
        return None
    return "it has no text", 1000.0


def _impossible(row: Mapping[str, Any]) -> tuple[str, float] | None:
    count, seconds, speech_s = letters(row["text"] or ""), row["seconds"], row["speech_s"]
    if not count or not seconds:
        return None
    if count / seconds > MOST_LETTERS_PER_S:
        return f"{count} letters of text in {seconds:.1f} s: nobody speaks so fast", 100.0 * count / seconds
    if speech_s is not None and speech_s >= SPEECH_S and count / speech_s < FEWEST_LETTERS_PER_S:
        return (
            f"{count} letters of text for {speech_s:.1f} s of speech: more is said than the text holds",
            100.0 * speech_s,
        )
    return None


def _misheard(heard: Heard | None, usual: tuple[float, float] | None) -> tuple[str, float] | None:
    if heard is None or usual is None or usual[0] >= WER_USELESS:
        return None
    limit = usual[0] + WER_DEVIATIONS * max(usual[1], WER_LEAST_SPREAD)
    limit = min(max(limit, WER_LEAST), WER_SURE)
    if heard.wer < limit or heard.cer < CER_LEAST:
        return None
    words = shorten(heard.words, 80) or "nothing"
    return f"a judge hears '{words}' (WER {heard.wer:.2f}); usual for the speaker is {usual[0]:.2f}", 10.0 * heard.wer


def _rate(row: Mapping[str, Any]) -> tuple[float, int] | None:
    """Letters per second of speech, and letters."""
    count, speech_s = letters(row["text"] or ""), row["speech_s"]
    return (count / speech_s, count) if count and speech_s else None


def _weight(count: int) -> float:
    """How much a deviation of a text of so many letters counts: few letters are spoken at any speed."""
    return math.sqrt(count / (count + 30))


def _rows(clips: Path) -> Iterator[Mapping[str, Any]]:
    for batch in batches(clips, ["id", "speaker", "text", "seconds", "speech_s"]):
        yield from batch.to_pylist()
