"""Frame levels, the energy columns, and the signal columns' use of the same frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch
from metrics.energy import Energy
from metrics.frames import frame_levels


def reference_energy(clip: np.ndarray, sample_rate: int) -> tuple[float, float, int]:
    frame, hop = round(0.025 * sample_rate), round(0.010 * sample_rate)
    starts = range(0, len(clip) - frame + 1, hop)
    power = np.array([np.mean(clip[start : start + frame].astype(np.float64) ** 2) for start in starts])
    levels = 10 * np.log10(np.maximum(power, 1e-20))
    active = levels[levels >= levels.max() - 40]
    return active.mean(), active.std(), len(active)


@pytest.mark.parametrize("sample_rate", [16000, 22050, 24000])
def test_equals_a_loop_over_frames(
    sample_rate: int, voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    speech = voice(1.3, sample_rate=sample_rate)
    clips = [speech, torch.cat([speech, torch.zeros(sample_rate)]), 0.1 * speech[: sample_rate // 3]]
    scores = Energy().score(batch_of(clips, sample_rate))
    for index, clip in enumerate(clips):
        mean, std, active = reference_energy(clip.numpy(), sample_rate)
        assert scores["energy_mean_db"][index] == pytest.approx(mean, abs=1e-4)
        assert scores["energy_std_db"][index] == pytest.approx(std, abs=1e-4)
        assert scores.details[index]["energy_active_frames"] == active


def test_known_levels(batch_of: Callable[..., ClipBatch]) -> None:
    sine = torch.sin(2 * torch.pi * 400 * torch.arange(16000) / 16000)
    steps = torch.cat([sine, 0.1 * sine, 0.001 * sine])
    scores = Energy().score(batch_of([sine, steps, sine[:400], 1e-3 * sine]))
    assert scores["energy_mean_db"][0] == pytest.approx(-3.0103, abs=1e-3)
    assert scores["energy_std_db"][0] == pytest.approx(0, abs=1e-3)
    # Half the active frames at -3 dBFS, half at -23, none of those at -63.
    assert scores["energy_mean_db"][1] == pytest.approx(-13.01, abs=0.1)
    assert scores["energy_std_db"][1] == pytest.approx(10, abs=0.1)
    assert scores.details[2]["energy_frames"] == 1
    assert scores["energy_mean_db"][3] == pytest.approx(-63.0103, abs=1e-3)


def test_real_speech_has_the_levels_of_speech(
    real_clip: Callable[[str], Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    scores = Energy().score(batch_of([real_clip(f"librispeech/3005/3005-163389-000{n}.flac") for n in range(6)]))
    assert all(-42 < mean < -20 for mean in scores["energy_mean_db"])
    assert all(5 < std < 14 for std in scores["energy_std_db"])


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    audio = torch.ones(1, 1000)
    levels, mask = frame_levels(audio, torch.tensor([samples]), 16000)
    assert int(mask.sum()) == frames
    assert levels[mask].tolist() == pytest.approx([0.0] * frames)
