"""Resemblyzer's preparation of audio: bring quiet speech up to -30 dBFS, cut long pauses out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE = 16000
TARGET_DBFS = -30.0
MIN_SPEECH_S = 0.5  # less than this says too little about a voice

_INT16_MAX = 32767
_FRAME = 480  # samples: 30 ms
_SMOOTHED_FRAMES = 8
_KEPT_AROUND = 3  # frames kept before and after speech
_VAD_MODE = 3  # the strictest


def prepare(clip: Tensor) -> Tensor:
    """Speech of a clip, float32 [samples at 16 kHz], as `resemblyzer.preprocess_wav` (0.1.4) leaves it.

    The clip must not be empty or all zero. The result is empty where no speech is found.
    """
    samples = _raise_volume(clip.numpy())
    samples = samples[: len(samples) - len(samples) % _FRAME]
    if not len(samples):
        return clip[:0]
    kept = _kept_frames(_voice_flags(samples))
    return torch.from_numpy(samples[np.repeat(kept, _FRAME)])


def too_little(speech: Tensor) -> str | None:
    """None if there is enough prepared speech to describe a voice, else how much there is."""
    seconds = len(speech) / SAMPLE_RATE
    if seconds >= MIN_SPEECH_S:
        return None
    return f"has {seconds:.2f} s of speech; at least {MIN_SPEECH_S:g} s are needed"


def _raise_volume(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    rms = np.sqrt(np.mean((samples * _INT16_MAX) ** 2))
    gain_db = TARGET_DBFS - 20 * np.log10(rms / _INT16_MAX)
    return samples if gain_db < 0 else samples * (10 ** (gain_db / 20))


def _voice_flags(samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """1 per 30 ms frame that the WebRTC voice activity detector takes for speech, else 0."""
    # The module under the package `webrtcvad`, which itself does not import with setuptools 81 and later.
    import _webrtcvad

    vad = _webrtcvad.create()
    _webrtcvad.init(vad)
    _webrtcvad.set_mode(vad, _VAD_MODE)
    # A peak that the gain lifts beyond full scale wraps around here, as it does in resemblyzer.
    pcm = np.round(samples * _INT16_MAX).astype(np.int32).astype(np.int16)
    frames = pcm.reshape(-1, _FRAME)
    flags = [_webrtcvad.process(vad, SAMPLE_RATE, frame.tobytes(), _FRAME) for frame in frames]
    return np.array(flags, dtype=np.int64)


def _kept_frames(flags: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Frames that stay: more than half of the eight around them are voiced, or one within three frames is such."""
    before = (_SMOOTHED_FRAMES - 1) // 2
    padded = np.pad(flags, (before, _SMOOTHED_FRAMES - 1 - before))
    voiced = np.convolve(padded, np.ones(_SMOOTHED_FRAMES), "valid") > _SMOOTHED_FRAMES / 2
    reach = 2 * _KEPT_AROUND + 1
    return np.convolve(np.pad(voiced, _KEPT_AROUND), np.ones(reach), "valid") > 0
