"""Mel power spectrograms equal to librosa's defaults, in torch."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def mel_power(audio: Tensor, *, sample_rate: int, n_fft: int, hop: int, n_mels: int) -> Tensor:
    """Mel power spectrogram, float32 [clips, n_mels, 1 + samples // hop], of audio, float32 [clips, samples].

    Periodic Hann window of n_fft samples, frames centred with zero padding, Slaney filters up to half the sample rate:
    what `librosa.feature.melspectrogram` (0.11) gives with its defaults.
    """
    window = torch.hann_window(n_fft, device=audio.device)
    spectrum = torch.stft(audio, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    filters = _slaney_filters(sample_rate, n_fft, n_mels).to(audio.device)
    return filters @ spectrum.abs().square()


@lru_cache
def _slaney_filters(sample_rate: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangular filters of unit area, float32 [n_mels, 1 + n_fft // 2], after Slaney's Auditory Toolbox."""
    bins = torch.arange(1 + n_fft // 2, dtype=torch.float64) * sample_rate / n_fft
    edges = _hz(torch.linspace(0, _mel(sample_rate / 2), n_mels + 2, dtype=torch.float64))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * 2 / (upper - lower)).float()


# Slaney's scale: linear up to 1000 Hz, which is 15 mel, then 27 steps per factor of 6.4.
_HZ_PER_MEL = 200 / 3
_LOG_STEP = math.log(6.4) / 27


def _mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < 1000 else 15 + math.log(hz / 1000) / _LOG_STEP


def _hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15, mel * _HZ_PER_MEL, 1000 * torch.exp((mel - 15) * _LOG_STEP))
