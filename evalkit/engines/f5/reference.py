"""The voice: a reference clip cut, levelled and turned into mel frames as the package does, with what is said in it.

Source: f5-tts 1.1.22, infer/utils_infer.py: preprocess_ref_audio_text (298) and infer_batch_process (444).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from evalkit.engines.f5.configuration import HOP, SAMPLE_RATE
from evalkit.engines.f5.text import reference_text
from evalkit.errors import EvalkitError

LONGEST_MS, ENOUGH_MS = 12_000, 6_000
PAUSES = ((1000, -50), (100, -40))  # (ms, dBFS) at which a clip is cut, the second only if the first leaves it too long
KEPT_MS, STEP_MS = 1000, 10
EDGE_DBFS = -42
TAIL_MS = 50
TARGET_RMS = 0.1
SHORTEST_S = 0.4


class Reference(NamedTuple):
    """mel: [R, 100]; frames: R as durations count it, one less; text: as read; gain: what the speech is scaled by."""

    mel: Tensor
    frames: int
    text: str
    gain: float


class Clip(NamedTuple):
    """samples: float32 [channels, samples], cut but not levelled; rate: Hz; digest: of both as integers."""

    samples: Tensor
    rate: int
    digest: str


def prepare(path: Path, text: str, spectrogram: Callable[[Tensor], Tensor]) -> tuple[Reference, str]:
    """A Reference and the digest of what it is made of: the cut clip's samples and rate, and the text.

    spectrogram: [1, samples] at 24 kHz -> [1, 100, R]. Raises EvalkitError for a clip that cannot be used.
    """
    from torchaudio.transforms import Resample

    clip = read(path)
    audio = clip.samples.mean(0, keepdim=True)
    level = float(audio.square().mean().sqrt())
    if audio.shape[1] < SHORTEST_S * clip.rate or not level > 0:
        raise EvalkitError(
            f"The voice {path} has less than {SHORTEST_S} s above {EDGE_DBFS} dBFS; give a louder or longer clip."
        )
    gain = min(1.0, level / TARGET_RMS)
    audio = audio / gain
    if clip.rate != SAMPLE_RATE:
        audio = Resample(clip.rate, SAMPLE_RATE)(audio)
    said = reference_text(text)
    with torch.inference_mode():
        mel = spectrogram(audio)[0].T.contiguous()
    identity = json.dumps([clip.digest, clip.rate, said]).encode()
    return Reference(mel, audio.shape[1] // HOP, said, gain), hashlib.sha256(identity).hexdigest()


def read(path: Path) -> Clip:
    """A clip cut to 12 s at most, at pauses where there are any, its silent edges off and 50 ms of silence behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing ffmpeg, which nothing here uses
        from pydub import AudioSegment

    whole = _segment(path)
    cut = _trimmed(_shortened(whole)) + AudioSegment.silent(duration=TAIL_MS)
    integers = np.array(cut.get_array_of_samples()).reshape(-1, cut.channels).T
    samples = torch.from_numpy(integers.astype(np.float64) / 2.0 ** (8 * cut.sample_width - 1)).float()
    return Clip(samples, int(cut.frame_rate), hashlib.sha256(cut.raw_data).hexdigest())


def _segment(path: Path) -> Any:
    """The file as pydub holds it. 16-bit files stay so: thresholds are compared with the level of whole numbers."""
    import soundfile
    from pydub import AudioSegment

    try:
        info = soundfile.info(path)
        kind, width = ("int16", 2) if info.subtype == "PCM_16" else ("int32", 4)
        samples, rate = soundfile.read(path, dtype=kind, always_2d=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise EvalkitError(f"The voice {path} cannot be read as audio: {error}.") from error
    return AudioSegment(
        data=samples.tobytes(), sample_width=width, frame_rate=int(rate), channels=int(samples.shape[1])
    )


def _shortened(clip: Any) -> Any:
    from pydub.silence import split_on_silence

    joined = clip
    for pause, level in PAUSES:
        parts = split_on_silence(
            clip, min_silence_len=pause, silence_thresh=level, keep_silence=KEPT_MS, seek_step=STEP_MS
        )
        joined = _joined(parts)
        if len(joined) <= LONGEST_MS:
            break
    return joined[:LONGEST_MS]


def _joined(parts: list[Any]) -> Any:
    """As many parts as fit into 12 s, and at least 6 s of them."""
    from pydub import AudioSegment

    joined = AudioSegment.silent(duration=0)
    for part in parts:
        if len(joined) > ENOUGH_MS and len(joined + part) > LONGEST_MS:
            break
        joined += part
    return joined


def _trimmed(clip: Any) -> Any:
    from pydub.silence import detect_leading_silence

    clip = clip[detect_leading_silence(clip, silence_threshold=EDGE_DBFS) :]
    silent = detect_leading_silence(clip.reverse(), silence_threshold=EDGE_DBFS)
    return clip[: len(clip) - silent]
