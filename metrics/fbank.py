"""Log mel filter-bank features of many clips at once, equal to Kaldi's."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

SAMPLE_RATE = 16000
MELS = 80
FRAME, HOP = 400, 160  # samples: 25 and 10 ms

_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_INT16_SCALE = 32768.0
_FLOOR = torch.finfo(torch.float32).eps  # of the mel energies, as Kaldi has it


def frame_count(samples: int) -> int:
    """Frames that lie wholly inside a clip (Kaldi's snip_edges)."""
    return max(0, (samples - FRAME) // HOP + 1)


def fbank(audio: Tensor) -> Tensor:
    """Log mel energies, float32 [clips, frames, 80], of 16 kHz audio, float32 [clips, samples], full scale +-1.

    Equal to `torchaudio.compliance.kaldi.fbank(32768 * clip, num_mel_bins=80, window_type="hamming")` (2.11.0): frames
    of 25 ms every 10 ms, no dither, each without its mean, pre-emphasis 0.97, symmetric Hamming window, power spectrum
    of 512 points, 80 triangles from 20 Hz to 8 kHz, natural logarithm of at least 1.19e-7. `audio` needs 400 samples at
    least. Frames that reach into the padding of a clip are those after its `frame_count`.
    """
    frames = _INT16_SCALE * audio.unfold(1, FRAME, HOP)
    frames = frames - frames.mean(dim=2, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
    windowed = (frames - _PREEMPHASIS * before) * _window().to(audio.device)
    spectrum: Tensor = torch.fft.rfft(windowed, n=_FFT)
    return (spectrum.abs().square() @ _mel_filters().to(audio.device)).clamp_min(_FLOOR).log()


def subtract_mean(features: Tensor, counts: Tensor) -> Tensor:
    """Features, float32 [clips, frames, mels], less their mean over the first `counts` frames of each clip.

    The frames after those are zero. Cepstral mean normalisation, without the variance.
    """
    counts = counts.to(features.device)[:, None, None]
    real = torch.arange(features.shape[1], device=features.device)[:, None] < counts
    mean = features.masked_fill(~real, 0).sum(dim=1, keepdim=True) / counts.clamp_min(1)
    return (features - mean).masked_fill(~real, 0)


@lru_cache
def _window() -> Tensor:
    return torch.hamming_window(FRAME, periodic=False)


@lru_cache
def _mel_filters() -> Tensor:
    """Triangles of height 1 on Kaldi's mel scale, float32 [257, 80]; the bin at half the sample rate has no weight."""
    # In float32 as torchaudio has it: the scale's rounding shows in the narrow low triangles, by up to 3e-4 in the log.
    mel = 1127 * (1 + torch.arange(_FFT // 2) * (SAMPLE_RATE / _FFT) / 700).log()[:, None]
    low, high = (1127 * math.log1p(edge / 700) for edge in (_LOWEST_HZ, SAMPLE_RATE / 2))
    step = (high - low) / (MELS + 1)
    lower, centre, upper = (low + (torch.arange(MELS) + edge) * step for edge in (0, 1, 2))
    triangles = torch.minimum((mel - lower) / (centre - lower), (upper - mel) / (upper - centre)).clamp_min(0)
    return pad(triangles, (0, 0, 0, 1))
