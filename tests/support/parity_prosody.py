"""What F0 and speaking rate must agree with: sounds of known pitch, and the libraries run by hand on speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from parity_pauses import fixture_speech, reference_speech
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, Scores
from metrics.f0 import f0_track
from metrics.prosody import Prosody

SAMPLE_RATE = 16000
COLUMNS = ("f0_median_hz", "f0_range_st", "voiced_ratio", "speaking_rate")
TEXT = "Well-known words, all of them spoken"


def tone(f0: NDArray[np.float64], harmonics: Sequence[int] = tuple(range(1, 21))) -> Tensor:
    """Sum of harmonics of an F0 given per sample, falling by 6 dB an octave, peak 0.4."""
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    parts = [np.sin(order * phase) / order * (order * f0 < 7000) for order in harmonics]
    signal = np.sum(parts, axis=0)
    return torch.from_numpy((0.4 * signal / np.abs(signal).max()).astype(np.float32))


def steady(hertz: float, seconds: float = 0.6) -> NDArray[np.float64]:
    return np.full(round(seconds * SAMPLE_RATE), hertz)


def glide(first: float, last: float, seconds: float = 1.5) -> NDArray[np.float64]:
    return np.geomspace(first, last, round(seconds * SAMPLE_RATE))


def white(level: float, seconds: float = 1.0, seed: int = 0) -> Tensor:
    return level * torch.randn(round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(seed))


def assert_follows(f0: NDArray[np.float64], clip: Tensor, within_st: float = 0.2) -> None:
    """Nearly every frame inside the clip is voiced and at the F0 that it was made with."""
    track = f0_track(clip)
    known = f0[np.minimum(np.arange(len(track)) * 160, len(f0) - 1)]
    inside = slice(4, len(track) - 4)
    voiced = track[inside] > 0
    assert voiced.mean() > 0.95
    error = 12 * np.log2(track[inside][voiced] / known[inside][voiced])
    assert np.abs(error).max() < within_st


def assert_pitch_is_right() -> None:
    """Steady tones, glides, a missing fundamental, a voice in noise, and noise alone, which has no pitch."""
    for hertz in (76.7, 140.0, 310.0, 520.0):
        assert_follows(steady(hertz), tone(steady(hertz)))
    assert_follows(glide(90, 260), tone(glide(90, 260)), within_st=0.6)
    assert_follows(steady(130), tone(steady(130), harmonics=(2, 3, 4, 5, 6)))
    assert_follows(steady(180), tone(steady(180)) + white(0.03, 0.6), within_st=0.6)
    noise = white(0.1)
    coloured = torch.from_numpy(np.convolve(noise.numpy(), 0.9 ** np.arange(60))[: len(noise)].astype(np.float32))
    for clip in (noise, 0.1 * coloured):
        assert (f0_track(clip) == 0).mean() > 0.95


def score(clips: Sequence[Tensor], text: str | None = TEXT) -> Scores:
    """All clips in one padded batch."""
    infos = [ClipInfo(str(index), text=text) for index in range(len(clips))]
    return Prosody().score(ClipBatch.of(clips, SAMPLE_RATE, infos))


def reference_prosody(clip: Tensor, words: int) -> list[float]:
    """The columns of one clip from librosa and silero-vad with every setting written out."""
    import librosa
    from scipy.stats import beta

    f0, voiced, probability = librosa.pyin(
        clip.numpy(),
        fmin=60,
        fmax=600,
        sr=16000,
        frame_length=640,
        hop_length=160,
        resolution=0.2,
        no_trough_prob=0.1,
    )
    periodic = beta.sf(0.495, 2, 18)
    voiced &= probability > 0.1 + 0.9 * periodic
    speech = reference_speech(clip.numpy(), SAMPLE_RATE)
    said = [any(start <= index / 100 < end for start, end in speech) for index in range(len(f0))]
    values = np.sort(f0[voiced & said])
    first, third = np.quantile(values, [0.25, 0.75])
    kept = [value for value in values if 2 * first / 3 <= value <= 2 * third]
    low, high = np.quantile(kept, [0.05, 0.95])
    rate = words / sum(end - start for start, end in speech)
    return [float(np.median(kept)), 12 * float(np.log2(high / low)), len(values) / sum(said), rate]


def hummed(clip: Tensor) -> Tensor:
    """The clip between seconds of mains hum, which is as periodic as a voice."""
    hum = 0.1 * tone(steady(120, 1.5), harmonics=(1,))
    return torch.cat([hum, clip, hum])


def assert_prosody_is_right() -> None:
    """Equal to the libraries by hand, whatever else is in the batch; hum in pauses moves nothing."""
    sarah, sumit = fixture_speech("sarah/sarah-1"), fixture_speech("sumit/sumit-2")[:50_000]
    clips = [sarah, torch.cat([torch.zeros(8_000), 0.1 * sumit])]
    scores = score(clips)
    for index, clip in enumerate(clips):
        found = [scores[column][index] for column in COLUMNS]
        np.testing.assert_allclose(found, reference_prosody(clip, words=7), rtol=1e-5)
    plain = [scores[column][0] for column in COLUMNS[:2]]
    with_hum = [score([hummed(sarah)])[column][0] for column in COLUMNS[:2]]
    np.testing.assert_allclose(with_hum, plain, rtol=0.15)
