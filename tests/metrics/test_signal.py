"""Duration, silence and clipping of clips whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch
from metrics.signal import FULL_SCALE, Signal, clipped


def test_duration_at_any_rate(batch_of: Callable[..., ClipBatch]) -> None:
    scores = Signal().score(batch_of([torch.rand(22050), torch.rand(11025), torch.zeros(0)], 22050))
    assert scores["duration_s"] == [1.0, 0.5, 0.0]


def test_silence_ratio_counts_pauses(voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 400 * torch.arange(16000) / 16000)
    pause = 0.004 * tone  # 48 dB below
    quiet = 1.5e-3 * tone  # an even level of -65.5 dBFS
    scores = Signal().score(batch_of([tone, torch.cat([tone, pause]), torch.cat([tone, 0.02 * tone]), quiet]))
    assert scores["silence_ratio"] == pytest.approx([0, 0.5, 0, 1], abs=0.01)
    assert Signal().score(batch_of([torch.zeros(16000)]))["silence_ratio"] == [1.0]


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


def test_a_broken_clip_has_a_duration_and_reasons(batch_of: Callable[..., ClipBatch]) -> None:
    scores = Signal().score(batch_of([torch.full((16000,), torch.inf)]))
    assert scores["duration_s"] == [1.0]
    assert scores.reasons[0].keys() == {"silence_ratio", "clipping_ratio"}
