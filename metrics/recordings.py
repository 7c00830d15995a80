"""Recordings from files, and from one sample rate to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def resample(audio: Tensor, source: int, target: int) -> Tensor:
    """float32 [samples] from one rate to another with soxr HQ, the resampler that the reference tools use."""
    if source == target:
        return audio
    import soxr

    resampled = soxr.resample(audio.cpu().numpy(), source, target, quality="HQ")
    return torch.from_numpy(np.asarray(resampled, dtype=np.float32)).to(audio.device)


def read_reference(path: Path, sample_rate: int) -> Tensor:
    """Mono mix of a reference clip at this rate, float32 [samples]. Raises ValueError, naming it, if it is no audio."""
    import soundfile

    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, TypeError, soundfile.SoundFileError) as error:  # TypeError: a file called .raw
        raise unreadable(path, error) from error
    return resample(torch.from_numpy(np.ascontiguousarray(samples.mean(axis=1))), rate, sample_rate)


def unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"The reference clip {path} cannot be read ({error}): give a WAV or FLAC file.")
