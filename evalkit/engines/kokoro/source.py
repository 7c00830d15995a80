"""The generator's source: sines at the harmonics of F0 and noise from a seed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def harmonics(generator: Any, f0: Tensor, seed: int) -> Tensor:
    """Magnitude and phase of the source's STFT, [1, n_fft + 2, steps], of one sentence's F0 [1, 2 T] in Hz.

    The arithmetic is that of Generator, SourceModuleHnNSF and SineGen (istftnet.py:299-307, 133-253). The noise is
    what a call of KModel draws after `torch.manual_seed(seed)`, or `torch.cuda.manual_seed(seed)` on a GPU.
    """
    merge = generator.m_source
    sines = merge.l_sin_gen
    pitch = generator.f0_upsamp(f0[:, None]).transpose(1, 2)  # Hz per sample, [1, samples, 1]
    numbers = torch.arange(1, sines.dim + 1, device=f0.device, dtype=f0.dtype)
    wave = _sines(pitch * numbers, sines.sampling_rate, sines.upsample_scale) * sines.sine_amp
    voiced = (pitch > sines.voiced_threshold).to(f0.dtype)
    amplitude = voiced * sines.noise_std + (1 - voiced) * sines.sine_amp / 3
    wave = wave * voiced + amplitude * _noise(wave, seed)
    source = merge.l_tanh(merge.l_linear(wave)).squeeze(-1)
    magnitude, phase = generator.stft.transform(source)
    return torch.cat([magnitude, phase], 1)


def _sines(frequency: Tensor, rate: int, scale: int) -> Tensor:
    """sin of the phase of each frequency [1, samples, harmonics] in Hz, which is constant over `scale` samples.

    The package adds a random phase to the first sample, which its downsampling then skips: it is left out.
    """
    turns = (frequency / rate) % 1
    turns = F.interpolate(turns.transpose(1, 2), scale_factor=1 / scale, mode="linear").transpose(1, 2)
    phase = torch.cumsum(turns, dim=1) * 2 * torch.pi
    phase = F.interpolate(phase.transpose(1, 2) * scale, scale_factor=scale, mode="linear").transpose(1, 2)
    return phase.sin()


def _noise(like: Tensor, seed: int) -> Tensor:
    """Normal noise in the shape and the strides of `like`, after the draw that the package makes for the phase."""
    generator = torch.Generator(like.device).manual_seed(seed)
    torch.rand(like.shape[0], like.shape[2], generator=generator, device=like.device)
    return torch.empty_like(like).normal_(generator=generator)
