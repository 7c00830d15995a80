"""A vocoder without parameters: pulses and noise through a minimum-phase filter, all in the STFT domain.

A frame holds what a source-filter vocoder needs (the quantities of WORLD, Morise et al. 2016): a log-amplitude
envelope at mel-spaced centres, log F0, a voicing logit and the aperiodicity of a few bands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SAMPLE_RATE = 16000
HOP = 160  # 10 ms
FFT = 512
ENVELOPE_BANDS = 60
APERIODICITY_EDGES = (0, 1000, 2000, 3500, 5500, 8000)  # Hz
APERIODICITY_BANDS = len(APERIODICITY_EDGES) - 1
FRAME = ENVELOPE_BANDS + 2 + APERIODICITY_BANDS
LOG_F0, VOICING, APERIODICITY = ENVELOPE_BANDS, ENVELOPE_BANDS + 1, ENVELOPE_BANDS + 2

_F0_RANGE = (50.0, 500.0)  # Hz
_NOISE_SECONDS = 32
_NOISE_SEED = 7


@dataclass(frozen=True)
class Source:
    """What drives the filter, one value per frame: F0 in Hz [T], voiced [T], aperiodicity 0..1 [T, bands]."""

    f0: Tensor
    voiced: Tensor
    aperiodicity: Tensor


class Vocoder(nn.Module):
    """Frames [T, FRAME] to samples [T * HOP] at 16 kHz. Deterministic: its noise is a fixed buffer."""

    noise: Tensor
    to_bins: Tensor
    aperiodicity_to_bins: Tensor
    window: Tensor
    fold: Tensor

    def __init__(self) -> None:
        super().__init__()
        noise = torch.randn(_NOISE_SECONDS * SAMPLE_RATE, generator=torch.Generator().manual_seed(_NOISE_SEED))
        bins = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1)
        self._buffer("noise", noise)
        self._buffer("to_bins", interpolation_matrix(envelope_centres(), bins))
        self._buffer("aperiodicity_to_bins", interpolation_matrix(aperiodicity_centres(), bins))
        self._buffer("window", torch.hann_window(FFT))
        self._buffer("fold", _minimum_phase_fold())

    def _buffer(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        source = Source(
            f0=frames[:, LOG_F0].exp().clamp(*_F0_RANGE),
            voiced=frames[:, VOICING] > 0,
            aperiodicity=frames[:, APERIODICITY:].clamp(0, 1),
        )
        samples = len(frames) * HOP
        pulses = self._stft(pulse_train(source.f0, samples))
        noise = self._stft(self._noise(samples))
        ratio = (source.aperiodicity @ self.aperiodicity_to_bins).T  # [bins, T]
        ratio = torch.where(source.voiced, ratio, torch.ones_like(ratio))
        excitation = (1 - ratio**2).clamp(min=0).sqrt() * pulses + ratio * noise
        response = self._minimum_phase(frames[:, :ENVELOPE_BANDS] @ self.to_bins)
        audio: Tensor = torch.istft(excitation * response.T, FFT, HOP, window=self.window, length=samples)
        return audio

    def _stft(self, signal: Tensor) -> Tensor:
        """[samples] to [bins, T], frame i centred on sample i * HOP."""
        spectrum = torch.stft(signal, FFT, HOP, window=self.window, pad_mode="constant", return_complex=True)
        return spectrum[:, : len(signal) // HOP]

    def _noise(self, samples: int) -> Tensor:
        repeats = math.ceil(samples / len(self.noise))
        return self.noise.repeat(repeats)[:samples]

    def _minimum_phase(self, log_amplitude: Tensor) -> Tensor:
        """Complex response [T, bins] of log amplitudes [T, bins], by folding the real cepstrum."""
        cepstrum = torch.fft.irfft(log_amplitude, FFT)
        response: Tensor = torch.fft.rfft(cepstrum * self.fold).exp()
        return response


def pulse_train(f0: Tensor, samples: int) -> Tensor:
    """Band-limited pulses of unit power: the sum of all cosines below Nyquist, in closed form.

    f0: Hz per frame [T]. The phase is summed in float64, so that it does not drift over a long sentence.
    """
    per_sample = nn.functional.interpolate(
        _with_next(f0.double())[None, None], samples + 1, mode="linear", align_corners=True
    )
    per_sample = per_sample[0, 0, :samples]
    phase = 2 * math.pi * torch.cumsum(per_sample / SAMPLE_RATE, 0).frac()
    harmonics = (SAMPLE_RATE / 2 / per_sample).floor()
    half = torch.sin(phase / 2)
    near_zero = half.abs() < 1e-6
    quotient = torch.sin((harmonics + 0.5) * phase) / torch.where(near_zero, torch.ones_like(half), 2 * half)
    total = torch.where(near_zero, harmonics, quotient - 0.5)
    return (total * (2 / harmonics).sqrt()).float()


def envelope_centres() -> Tensor:
    """Hz of the envelope bands, evenly spaced in mel (O'Shaughnessy) from 0 to Nyquist."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    mel = torch.linspace(0, top, ENVELOPE_BANDS, dtype=torch.float64)
    return (700 * (10 ** (mel / 2595) - 1)).float()


def aperiodicity_centres() -> Tensor:
    edges = torch.tensor(APERIODICITY_EDGES, dtype=torch.float32)
    return (edges[1:] + edges[:-1]) / 2


def interpolation_matrix(centres: Tensor, targets: Tensor) -> Tensor:
    """[centres, targets]: linear interpolation from values at `centres`, constant beyond the first and the last."""
    inside = targets.clamp(float(centres[0]), float(centres[-1]))
    right = torch.searchsorted(centres, inside).clamp(1, len(centres) - 1)
    left = right - 1
    share = (inside - centres[left]) / (centres[right] - centres[left])
    matrix = torch.zeros(len(centres), len(targets))
    columns = torch.arange(len(targets))
    matrix[left, columns] = 1 - share
    matrix[right, columns] += share
    return matrix


def _with_next(values: Tensor) -> Tensor:
    """T frame values to T + 1, so that the last frame has an end to be interpolated to."""
    return torch.cat([values, values[-1:]])


def _minimum_phase_fold() -> Tensor:
    fold = torch.zeros(FFT)
    fold[0] = fold[FFT // 2] = 1
    fold[1 : FFT // 2] = 2
    return fold
