"""Signs that a clip is not one continuous recording: its background, voice or level jumps, or it holds pure zeros.

A recording has one noise floor and one channel. For every place at least `SIDE_S` from both ends, what lies before is
compared with what lies after, in nine bands from 100 Hz to 7.5 kHz: the background (mean of the lowest 8 % of frames of
25 ms), the colour of the voice (mean of the loudest 40 %, its level taken off), and the level (90th percentile). The
largest distance over all places counts. On 28 single recordings of LibriSpeech and LibriVox of 5 s and more the
distances stayed below 11, 6.5 and 10.5 dB (docs/select.md), and the limits lie above that: two takes of one session in
one room are not told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 16000
SIDE_S = 2.0
BACKGROUND_DB, VOICE_DB, LEVEL_DB = 12.0, 7.5, 12.0
ZEROS_S = 0.05  # of equal samples between speech: no microphone gives them
_HOP, _WINDOW, _STEP = 160, 400, 25
_EDGES = (100, 200, 400, 700, 1100, 1600, 2400, 3400, 5000, 7500)
_NOTHING_DB = -90.0
_SPEECH_DB = 30.0  # below the loudest frames: the silence around the speech, which says nothing

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sign:
    """at_s: where; what: "background", "voice", "level" or "zeros"; size: dB, or seconds of zeros."""

    what: str
    at_s: float
    size: float

    def sentence(self) -> str:
        if self.what == "zeros":
            return f"{self.size:.2f} s of digital silence at {self.at_s:.1f} s, which no microphone records"
        return f"the {self.what} changes by {self.size:.0f} dB at {self.at_s:.1f} s"


def find_splices(audio: npt.NDArray[np.float32], rate: int) -> list[Sign]:
    """Signs of splices in a clip, mono float32. Of a clip below 4 s of speech only digital silence is looked for."""
    return [*_zeros(audio, rate), *_jumps(audio, rate)]


def _zeros(audio: npt.NDArray[np.float32], rate: int) -> list[Sign]:
    """Stretches of equal samples between speech; those at the ends are an editor's, and harmless."""
    loud = np.flatnonzero(np.abs(audio) > 1e-3)
    if not len(loud):
        return []
    inside = audio[loud[0] : loud[-1] + 1]
    changes = np.flatnonzero(np.diff(inside)) + 1
    ends = np.concatenate([[0], changes, [len(inside)]])
    lengths = np.diff(ends)
    quiet = np.abs(inside[ends[:-1]]) < 1e-3  # equal samples at full scale are clipping
    found = np.flatnonzero((lengths >= ZEROS_S * rate) & quiet)
    return [Sign("zeros", float(ends[n] + loud[0]) / rate, float(lengths[n]) / rate) for n in found]


def _jumps(audio: npt.NDArray[np.float32], rate: int) -> list[Sign]:
    bands = _band_levels(audio, rate)
    if not len(bands):
        return []
    energy = bands.mean(axis=1)
    speech = np.flatnonzero(energy > np.percentile(energy, 95) - _SPEECH_DB)
    start = int(speech[0])
    # Digital silence is a sign of its own and no background.
    frames = start + np.flatnonzero(energy[start : speech[-1] + 1] > _NOTHING_DB + 1)
    bands = bands[frames]
    side = int(SIDE_S * RATE / _HOP)
    places = range(side, len(bands) - side, _STEP)
    if not places:
        return []
    distances = np.array([_distances(bands[:place], bands[place:]) for place in places])
    limits = {"background": BACKGROUND_DB, "voice": VOICE_DB, "level": LEVEL_DB}
    signs = []
    for column, (what, limit) in enumerate(limits.items()):
        largest = int(distances[:, column].argmax())
        if distances[largest, column] > limit:
            seconds = float(frames[places[largest]]) * _HOP / RATE
            signs.append(Sign(what, seconds, float(distances[largest, column])))
    return signs


def _distances(before: Floats, after: Floats) -> tuple[float, float, float]:
    background = np.abs(_floor(before) - _floor(after)).mean()
    level = abs(np.percentile(before.mean(axis=1), 90) - np.percentile(after.mean(axis=1), 90))
    return float(background), float(np.abs(_colour(before) - _colour(after)).mean()), float(level)


def _floor(bands: Floats) -> Floats:
    lowest: Floats = np.sort(bands, axis=0)[: max(10, len(bands) * 8 // 100)]
    return np.asarray(lowest.mean(axis=0))


def _colour(bands: Floats) -> Floats:
    energy = bands.mean(axis=1)
    mean = bands[energy >= np.percentile(energy, 60)].mean(axis=0)
    return np.asarray(mean - mean.mean())


def _band_levels(audio: npt.NDArray[np.float32], rate: int) -> Floats:
    """dB per frame and band, float64 [frames, bands]; bands above what the rate holds are left out."""
    samples = _at_rate(audio, rate)
    if len(samples) < _WINDOW:
        return np.zeros((0, len(_EDGES) - 1))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    hertz = np.fft.rfftfreq(512, 1 / RATE)
    top = min(rate, RATE) / 2
    edges = [(low, high) for low, high in pairwise(_EDGES) if high <= top]
    levels: list[Any] = [power[:, (hertz >= low) & (hertz < high)].mean(axis=1) for low, high in edges]
    return 10 * np.log10(np.stack(levels, axis=1) + 10 ** (_NOTHING_DB / 10))


def _at_rate(audio: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    if rate == RATE:
        return audio
    import soxr

    resampled: npt.NDArray[np.float32] = soxr.resample(audio, rate, RATE)
    return resampled
