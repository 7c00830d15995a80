"""What the energy columns must agree with: a loop over frames in numpy, and silero-vad's own stretches of speech."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from parity_pauses import reference_speech
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.energy import Energy


def reference_energy(
    clip: NDArray[np.float32], sample_rate: int, frames: str = "within40", frame_ms: float = 25, hop_ms: float = 10
) -> tuple[float, float, int]:
    """Mean and deviation of the levels of the frames that count, and how many they are."""
    frame, hop = round(frame_ms * sample_rate / 1000), round(hop_ms * sample_rate / 1000)
    starts = np.arange(0, len(clip) - frame + 1, hop)
    power = np.array([np.mean(clip[start : start + frame].astype(np.float64) ** 2) for start in starts])
    levels = 10 * np.log10(np.maximum(power, 1e-20))
    if frames == "all_floored":
        levels = np.maximum(levels, -60)
    counted = np.ones(len(levels), dtype=bool)
    if frames == "within40":
        counted = levels >= levels.max() - 40
    if frames == "vad":
        middles = (starts + frame / 2) / sample_rate
        speech = reference_speech(clip, sample_rate)
        counted = np.array([any(start <= middle < end for start, end in speech) for middle in middles])
    return float(levels[counted].mean()), float(levels[counted].std()), int(counted.sum())


def assert_equals_the_loop(
    clips: Sequence[Tensor], sample_rate: int, *, frames: str = "within40", frame_ms: float = 25, hop_ms: float = 10
) -> None:
    """All clips in one padded batch against each alone in the loop."""
    batch = ClipBatch.of(clips, sample_rate, [ClipInfo(str(index)) for index in range(len(clips))])
    scores = Energy(frames=frames, frame_ms=frame_ms, hop_ms=hop_ms).score(batch)
    for index, clip in enumerate(clips):
        mean, std, counted = reference_energy(clip.numpy(), sample_rate, frames, frame_ms, hop_ms)
        assert abs(scores["energy_mean_db"][index] - mean) < 1e-4
        assert abs(scores["energy_std_db"][index] - std) < 1e-4
        assert scores.details[index]["energy_active_frames"] == counted
        whole = 10 * np.log10(np.mean(clip.numpy().astype(np.float64) ** 2))
        assert abs(scores.details[index]["energy_clip_db"] - whole) < 1e-6
