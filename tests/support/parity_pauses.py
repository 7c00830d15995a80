"""What the pauses must agree with: silero-vad's own `get_speech_timestamps`, one clip after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.pauses import Pauses
from metrics.silero import SileroVad

SAMPLE_RATE = 16000
FIXTURES = Path(__file__).parents[2] / "fixtures" / "audio" / "reference"


def fixture_speech(name: str) -> Tensor:
    """A clip of the project's own synthetic speech, such as `sarah/sarah-1`, float32 [samples at 16 kHz]."""
    samples, rate = soundfile.read(FIXTURES / f"{name}.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    return torch.from_numpy(samples)


def speech_clips() -> list[Tensor]:
    """Speech of several lengths and levels, with pauses at the ends and inside, and a clip of noise."""
    sarah, sumit = fixture_speech("sarah/sarah-1"), fixture_speech("sumit/sumit-2")
    noise = 0.01 * torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    return [
        sarah,
        torch.cat([torch.zeros(9_000), 0.05 * sumit, 1e-3 * noise]),
        torch.cat([sumit[:30_123], 0.1 * noise, sarah[:41_000]]),
        noise,
        sumit[20_000:32_001],
    ]


@lru_cache
def _model() -> Any:
    from silero_vad import load_silero_vad

    return load_silero_vad()


def reference_speech(clip: NDArray[np.float32], sample_rate: int) -> list[tuple[float, float]]:
    """Start and end in seconds of the stretches that silero-vad finds in one clip."""
    import soxr
    from silero_vad import get_speech_timestamps

    samples = clip if sample_rate == SAMPLE_RATE else soxr.resample(clip, sample_rate, SAMPLE_RATE, quality="HQ")
    found = get_speech_timestamps(torch.from_numpy(samples), _model())
    return [(one["start"] / SAMPLE_RATE, one["end"] / SAMPLE_RATE) for one in found]


def reference_probabilities(clip: Tensor) -> list[float]:
    """silero-vad's probability of each window of 512 samples, from its streaming interface."""
    model = _model()
    model.reset_states()
    padded = torch.nn.functional.pad(clip, (0, -len(clip) % 512))
    with torch.no_grad():
        return [model(window, SAMPLE_RATE).item() for window in padded.split(512)]


def assert_equals_silero(clips: Sequence[Tensor]) -> None:
    """All clips in one padded batch against each alone in silero-vad."""
    probabilities = SileroVad(torch.device("cpu")).probabilities(clips)
    for own, clip in zip(probabilities, clips, strict=True):
        np.testing.assert_allclose(own, reference_probabilities(clip), atol=1e-4)

    batch = ClipBatch.of(clips, SAMPLE_RATE, [ClipInfo(str(index)) for index in range(len(clips))])
    scores = Pauses().score(batch)
    for index, clip in enumerate(clips):
        total = len(clip) / SAMPLE_RATE
        speech = reference_speech(clip.numpy(), SAMPLE_RATE)
        assert scores.details[index]["pauses_speech"] == [list(stretch) for stretch in speech]
        found = [scores[column][index] for column in scores]
        np.testing.assert_allclose(found, _columns(speech, total), atol=1e-9)


def _columns(speech: list[tuple[float, float]], total: float) -> list[float]:
    """Silence ratio, leading, trailing and longest inner silence, from a line of samples."""
    said = np.zeros(round(total * SAMPLE_RATE), dtype=bool)
    for start, end in speech:
        said[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = True
    places = np.flatnonzero(said)
    if not len(places):
        return [1.0, total, total, total]
    inner = np.diff(places).max() - 1
    samples = np.array([places[0], len(said) - 1 - places[-1], inner])
    return [1 - said.mean(), *(samples / SAMPLE_RATE)]
