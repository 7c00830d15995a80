"""Audio in and out of a run: the stored samples are the scored samples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evalkit.engines.audio.reading import whole
from evalkit.errors import EvalkitError
from evalkit.files import write_atomically

SILENT_PEAK = 1e-3  # -60 dBFS: nothing that a listener would call speech
SHORTEST_S = 0.1


def quantise(audio: Tensor) -> Tensor:
    """Round to the 16-bit grid that FLAC keeps, so that what is scored is bit for bit what can be listened to.

    audio: float [samples]; samples beyond full scale are clipped, as any 16-bit file would clip them.
    """
    return torch.clamp(torch.round(audio.float() * 32768.0), -32768, 32767) / 32768.0


def write_flac(path: Path, audio: Tensor, sample_rate: int) -> None:
    """Store quantised audio, float32 [samples], as 16-bit FLAC, atomically."""
    import soundfile

    buffer = io.BytesIO()
    samples = (audio.detach().cpu().numpy() * 32768.0).astype(np.int16)
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    write_atomically(path, buffer.getvalue())


def read_audio(path: Path) -> tuple[Tensor, int]:
    """Read a file as mono float32 [samples] and its rate; several channels are averaged.

    Raises EvalkitError when the file is missing, is not audio, or is a WAV that was cut short.
    """
    import soundfile

    if not path.is_file():
        raise EvalkitError(f"There is no audio file {path}: check the path.")
    try:
        samples, rate = soundfile.read(io.BytesIO(whole(path.read_bytes())), dtype="float32", always_2d=True)
    except EvalkitError as error:
        raise EvalkitError(f"{path}: {error}") from error
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        said = str(getattr(error, "error_string", error)).rstrip(".")
        raise EvalkitError(f"{path} cannot be read as audio ({said}): give a WAV, FLAC, OGG or MP3 file.") from error
    return torch.from_numpy(samples.mean(axis=1)), int(rate)


def unusable(audio: Tensor, sample_rate: int) -> tuple[str, str] | None:
    """The status and reason of audio that no metric should score, or None. audio: float32 [samples]."""
    if not bool(torch.isfinite(audio).all()):
        return "not_finite", "The audio holds NaN or infinite samples."
    if len(audio) < SHORTEST_S * sample_rate:
        return (
            "too_short",
            f"The audio is {len(audio) / sample_rate:.2f} s long; {SHORTEST_S} s is the least that is scored.",
        )
    peak = float(audio.abs().max())
    if peak < SILENT_PEAK:
        return "silent", "The audio is silent (no sample above -60 dBFS)."
    return None
