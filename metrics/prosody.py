"""Prosody: how high the voice is, how far it moves, and how fast it speaks."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from numpy.typing import NDArray

from metrics import f0, silero
from metrics.base import ClipBatch, Column, MetricSpec, Passport, Scores
from metrics.clips import SILENCE_DBFS, require_rate, unusable
from metrics.f0 import CEILING_HZ, FLOOR_HZ, HOP_S, f0_track
from metrics.packages import missing_packages, versions
from metrics.silero import SileroVad, Stretch

# Limits of plausible F0, as shares of its first and third quartile: wider than the 0.75 and 1.5 of De Looze and Hirst
# (Speech Prosody 2008), which cut lively speech.
LOWEST_OF_QUARTILE, HIGHEST_OF_QUARTILE = 2 / 3, 2.0
LOW_PERCENTILE, HIGH_PERCENTILE = 5, 95
MIN_VOICED_S = 0.1


class Prosody:
    """F0 and speaking rate of a clip.

    Both are of the time that silero-vad takes for speech. F0 is pYIN's between 60 and 600 Hz, every 10 ms, in steps of
    0.2 semitones. Octave errors do not reach the results: values below 2/3 of the first quartile or above twice the
    third are strays and left out (they still count as voiced), and the range goes from the 5th to the 95th percentile.
    speaking_rate counts the words of the text, numbers spelled out, against the time of speech; as pauses from 100 ms
    are no part of it, phoneticians call it articulation rate. Details: `prosody_f0_frames`, `prosody_f0_strays`,
    `prosody_words`, `prosody_speech_s`, to pool clips.
    """

    spec = MetricSpec(
        name="prosody",
        version="1",
        columns=(
            Column("f0_median_hz", "Hz", "neither", (FLOOR_HZ, CEILING_HZ), "median fundamental frequency"),
            Column(
                "f0_range_st",
                "st",
                "neither",
                (0.0, 12 * math.log2(CEILING_HZ / FLOOR_HZ)),
                "semitones from the 5th to the 95th percentile of the fundamental frequency",
            ),
            Column("voiced_ratio", "", "neither", (0.0, 1.0), "share of the frames in speech that are voiced"),
            Column("speaking_rate", "words/s", "neither", (0.0, float("inf")), "words per second of speech"),
        ),
        sample_rate=f0.SAMPLE_RATE,
        needs=frozenset(),
        judge="bundled",
        source="Mauch, Dixon: pYIN, ICASSP 2014, by librosa; silero-vad 6.2",
        cpu_only=True,
    )

    def __init__(self, device: str = "cpu") -> None:
        self._vad = SileroVad(torch.device(device))

    def score(self, batch: ClipBatch) -> Scores:
        require_rate(batch, self.spec)
        scores = Scores(self.spec, len(batch))
        refused = unusable(batch)
        for index, stretches in enumerate(self._vad.speech(batch)):
            if reason := refused.get(index) or (None if stretches else "no speech was found in the clip"):
                scores.refuse(index, reason)
            else:
                _score_f0(scores, index, _in_speech(f0_track(batch.clip(index)), stretches))
                _score_rate(scores, index, batch.info[index].text, sum(end - start for start, end in stretches))
        return scores

    def passport(self) -> Passport:
        return Passport(
            metric=self.spec.name,
            version=self.spec.version,
            judge="silero-vad",
            weights_sha256=silero.weights_sha256(),
            parameters={
                **f0.parameters(),
                "min_voiced_s": MIN_VOICED_S,
                "f0_of_quartiles": [LOWEST_OF_QUARTILE, HIGHEST_OF_QUARTILE],
                "range_percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE],
                "silence_dbfs": SILENCE_DBFS,
                "speaking_rate": "words of the text per second of speech by silero-vad",
            },
            packages={**versions("librosa"), **silero.packages()},
        )

    @classmethod
    def unavailable(cls) -> str | None:
        return missing_packages(("librosa", *silero.NEEDED), "bundled")


def spoken_words(text: str) -> int:
    """Number of words of a text: what stands between blanks, hyphens and slashes and holds a letter or a digit."""
    return sum(any(letter.isalnum() for letter in word) for word in re.split(r"[\s/\-‐-―]+", text))


def _in_speech(track: NDArray[np.float64], stretches: list[Stretch]) -> NDArray[np.float64]:
    """The frames of a track that lie in a stretch of speech; a hum in a pause has an F0 too."""
    times = np.arange(len(track)) * HOP_S
    return np.concatenate([track[(times >= start) & (times < end)] for start, end in stretches])


def _score_f0(scores: Scores, index: int, track: NDArray[np.float64]) -> None:
    voiced = track[track > 0]
    scores["voiced_ratio"][index] = len(voiced) / len(track)
    plausible = _plausible(voiced)
    scores.details[index]["prosody_f0_frames"] = len(plausible)
    scores.details[index]["prosody_f0_strays"] = len(voiced) - len(plausible)
    if len(plausible) * HOP_S < MIN_VOICED_S:
        for column in ("f0_median_hz", "f0_range_st"):
            scores.reasons[index][column] = f"the clip has less than {MIN_VOICED_S:g} s of voiced speech"
        return
    low, high = np.percentile(plausible, [LOW_PERCENTILE, HIGH_PERCENTILE])
    scores["f0_median_hz"][index] = float(np.median(plausible))
    scores["f0_range_st"][index] = 12 * math.log2(high / low)


def _plausible(voiced: NDArray[np.float64]) -> NDArray[np.float64]:
    """F0 values without the strays: errors by an octave, creak, a hum between the sounds of a word."""
    if not len(voiced):
        return voiced
    first, third = np.percentile(voiced, [25, 75])
    kept: NDArray[np.float64] = voiced[(voiced >= LOWEST_OF_QUARTILE * first) & (voiced <= HIGHEST_OF_QUARTILE * third)]
    return kept


def _score_rate(scores: Scores, index: int, text: str | None, speech_s: float) -> None:
    words = spoken_words(text or "")
    scores.details[index]["prosody_words"] = words
    scores.details[index]["prosody_speech_s"] = speech_s
    if words:
        scores["speaking_rate"][index] = words / speech_s
    else:
        scores.reasons[index]["speaking_rate"] = "the clip has no text, or one without words"
