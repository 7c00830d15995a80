"""What the bandwidth must agree with: a loop over frames in numpy, and clips whose band is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from parity_pauses import fixture_speech
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo, Scores
from metrics.signal import Signal


def reference_bandwidth(clip: NDArray[np.float32], sample_rate: int) -> float:
    """Upper edge of the highest band of 200 Hz within 50 dB of the strongest, in the mean spectrum of loud frames."""
    frame, hop = round(0.025 * sample_rate), round(0.010 * sample_rate)
    frames = [clip[start : start + frame].astype(np.float64) for start in range(0, len(clip) - frame + 1, hop)]
    levels = np.array([10 * np.log10(max(np.mean(one**2), 1e-20)) for one in frames])
    window = np.blackman(frame + 1)[:-1]
    loud = [one for one, level in zip(frames, levels, strict=True) if level >= levels.max() - 40]
    power = np.mean([np.abs(np.fft.rfft((one - one.mean()) * window)) ** 2 for one in loud], axis=0)
    frequencies = np.arange(len(power)) * sample_rate / frame
    edges = np.arange(200, sample_rate / 2 + 200, 200)
    inside = [(frequencies >= edge - 200) & (frequencies < edge) for edge in edges]
    bands = np.array([power[which].mean() if which.any() else 0.0 for which in inside])
    heard = bands >= bands.max() * 1e-5
    return float(min(edges[heard].max(), sample_rate / 2))


def band_limited(cutoff_hz: float, sample_rate: int, seconds: float = 1.0, seed: int = 0) -> Tensor:
    """Noise of peak 0.5 with nothing above a frequency."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal(round(seconds * sample_rate)))
    spectrum[np.fft.rfftfreq(round(seconds * sample_rate), 1 / sample_rate) > cutoff_hz] = 0
    samples = np.fft.irfft(spectrum, round(seconds * sample_rate))
    return torch.from_numpy((0.5 * samples / np.abs(samples).max()).astype(np.float32))


def resampled(clip: Tensor, *rates: int) -> Tensor:
    """A clip at 16 kHz, taken through these rates and kept on the 16-bit grid."""
    samples = clip.numpy()
    for before, after in zip((16000, *rates), rates, strict=False):
        samples = soxr.resample(samples, before, after, quality="HQ")
    return torch.from_numpy((samples * 32768).round() / 32768).float()


def score(clips: Sequence[Tensor], sample_rate: int) -> Scores:
    """All clips in one padded batch."""
    return Signal().score(ClipBatch.of(clips, sample_rate, [ClipInfo(str(index)) for index in range(len(clips))]))


def assert_signal_is_right() -> None:
    """Bands that are known, the loop over frames, clipping and duration that are known."""
    speech = fixture_speech("sarah/sarah-1")
    telephone, wide = resampled(speech, 8000, 24000), resampled(speech, 24000)
    clips = [
        band_limited(3900, 24000, seconds=1.7),
        band_limited(6900, 24000) + 0.2,
        band_limited(12000, 24000, seconds=0.3),
        # Hiss in the pauses alone is no speech.
        torch.cat([torch.hann_window(24000) * band_limited(3900, 24000), 7e-3 * band_limited(12000, 24000)]),
        telephone,
        wide,
        0.1 * telephone,
    ]
    scores = score(clips, 24000)
    assert scores["bandwidth_hz"][:5] == [4000, 7000, 12000, 4000, 4000]
    assert 7000 <= scores["bandwidth_hz"][5] <= 8000 and scores["bandwidth_hz"][6] == 4000
    assert scores["bandwidth_hz"] == [reference_bandwidth(clip.numpy(), 24000) for clip in clips]
    assert scores["duration_s"] == [len(clip) / 24000 for clip in clips]

    plateaus = speech.clone()
    plateaus[1000:1100], plateaus[2000:2002], plateaus[3000:3010] = 1, -1, -1
    np.testing.assert_allclose(score([plateaus, speech], 16000)["clipping_ratio"], [110 / len(speech), 0], atol=1e-9)
