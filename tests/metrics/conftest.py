"""Clips to measure: real recordings where they are at hand, and a synthetic voice that needs no file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """Folder of recorded speech: `librispeech/SPEAKER/*.flac`, `librivox/*.flac` + `.txt`, `jfk.flac`."""
    folder = os.environ.get("EVALKIT_REAL_AUDIO")
    if not folder:
        pytest.skip("EVALKIT_REAL_AUDIO is not set: give the folder with the recorded speech")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def real_clip(real_audio: Path) -> Callable[[str], Tensor]:
    """Load one recording of that folder by its path in it, as float32 [samples], mono, 16 kHz."""
    import librosa

    def load(name: str) -> Tensor:
        samples, _ = librosa.load(real_audio / name, sr=16000)
        return torch.from_numpy(samples)

    return load


@pytest.fixture(scope="session")
def voice() -> Callable[..., Tensor]:
    """Make a buzz with formants in syllables, which a voice activity detector takes for speech."""

    def make(
        seconds: float, *, sample_rate: int = 16000, pitch: float = 120.0, peak: float = 0.4, seed: int = 0
    ) -> Tensor:
        random = np.random.default_rng(seed)
        samples = int(seconds * sample_rate)
        time = np.arange(samples) / sample_rate
        phase = np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 2.3 * time + seed))) / sample_rate
        signal = np.diff(np.floor(phase), prepend=0) + 0.02 * random.standard_normal(samples)
        for formant, width in ((600 + 20 * seed, 80), (1300 + 50 * seed, 100), (2500, 150)):
            radius = np.exp(-np.pi * width / sample_rate)
            signal = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant / sample_rate), radius**2], signal)
        signal *= np.sin(np.pi * 4 * time) ** 2 + 0.02
        return torch.from_numpy((peak * signal / np.abs(signal).max()).astype(np.float32))

    return make


@pytest.fixture(scope="session")
def batch_of() -> Callable[..., ClipBatch]:
    """Pad clips into a batch; every clip gets the same reference files."""

    def make(clips: Sequence[Tensor], sample_rate: int = 16000, reference: Sequence[Path] = ()) -> ClipBatch:
        infos = [ClipInfo(f"clip-{index}", reference=tuple(reference)) for index in range(len(clips))]
        return ClipBatch.of(clips, sample_rate, infos)

    return make
