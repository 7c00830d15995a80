"""Duration, clipping and bandwidth of clips whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_signal import assert_signal_is_right, band_limited, reference_bandwidth, resampled, score
from torch import Tensor

from metrics.base import ClipBatch
from metrics.signal import FULL_SCALE, Signal, clipped


def test_known_bands_durations_and_clipping() -> None:
    assert_signal_is_right()


def test_duration_at_any_rate(batch_of: Callable[..., ClipBatch]) -> None:
    scores = Signal().score(batch_of([torch.rand(22050), torch.rand(11025), torch.zeros(0)], 22050))
    assert scores["duration_s"] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.5, 1, 1, 1, 0.5], [0, 1, 1, 1, 0]),
        ([1, 1, 1, 0, -1, -1], [1, 1, 1, 0, 0, 0]),
        ([1, 1, -1, -1, 1, 1], [0, 0, 0, 0, 0, 0]),
        ([0, -1, -2, -1, -1], [0, 1, 1, 1, 1]),
        ([FULL_SCALE] * 3, [1, 1, 1]),
        ([FULL_SCALE - 1e-4] * 3, [0, 0, 0]),
        ([1, 1], [0, 0]),
        ([], []),
    ],
)
def test_only_runs_of_one_sign_are_clipping(samples: list[float], expected: list[int]) -> None:
    assert clipped(torch.tensor([samples], dtype=torch.float32))[0].int().tolist() == expected


def test_clipping_ratio(voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]) -> None:
    speech = voice(1.0)
    plateau = torch.cat([speech, torch.ones(1000), speech])
    scores = Signal().score(batch_of([speech, plateau, torch.ones(7)]))
    assert scores["clipping_ratio"] == pytest.approx([0, 1000 / len(plateau), 1])


@pytest.mark.parametrize("sample_rate", [16000, 22050, 44100, 48000])
def test_bandwidth_at_any_rate(sample_rate: int) -> None:
    clips = [band_limited(5500, sample_rate), band_limited(sample_rate, sample_rate)]
    assert score(clips, sample_rate)["bandwidth_hz"] == [5600, sample_rate / 2]


def test_a_telephone_voice_in_a_wide_file_is_found(real_clip: Callable[[str], Tensor]) -> None:
    names = ("librispeech/1688/1688-142285-0000", "librispeech/2033/2033-164914-0000", "librivox/sense-01-0870")
    clips = [real_clip(f"{name}.flac") for name in names]
    narrow, wide = [[resampled(clip, *rates) for clip in clips] for rates in ((8000, 24000), (24000,))]
    assert score(narrow, 24000)["bandwidth_hz"] == [4000.0] * 3
    full = score(wide, 24000)["bandwidth_hz"]
    assert all(6400 <= value <= 8000 for value in full)
    assert full == [reference_bandwidth(clip.numpy(), 24000) for clip in wide]


def test_a_quiet_constant_does_not_hide_the_speech(voice: Callable[..., Tensor]) -> None:
    speech = voice(1.0, peak=0.05)
    assert score([speech + 0.5], 16000)["bandwidth_hz"] == score([speech], 16000)["bandwidth_hz"]


def test_every_missing_value_has_its_own_reason(batch_of: Callable[..., ClipBatch]) -> None:
    scores = Signal().score(batch_of([torch.full((16000,), torch.inf), torch.zeros(16000), torch.rand(300)]))
    assert scores["duration_s"] == [1.0, 1.0, 300 / 16000]
    assert [set(reasons) for reasons in scores.reasons] == [
        {"clipping_ratio", "bandwidth_hz"},
        {"bandwidth_hz"},
        {"bandwidth_hz"},
    ]
    assert "silent" in scores.reasons[1]["bandwidth_hz"] and "25 ms" in scores.reasons[2]["bandwidth_hz"]
