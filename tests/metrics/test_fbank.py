"""Batched features against Kaldi's, as torchaudio has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_speaker import check_fbank, padded
from torch import Tensor

from metrics.fbank import fbank, frame_count, subtract_mean

pytest.importorskip("torchaudio")


def test_features_of_synthetic_clips_equal_kaldi(voice: Callable[..., Tensor]) -> None:
    noise = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    offset = 0.1 + 0.01 * noise
    silent_end = torch.cat([voice(0.3), torch.zeros(3000)])  # at the floor of the logarithm
    check_fbank([voice(0.7), 1e-4 * voice(0.4, seed=1), 0.1 * noise, offset, silent_end, voice(0.025)])


def test_features_of_real_clips_equal_kaldi(real_clip: Callable[[str], Tensor]) -> None:
    names = ["librispeech/1688/1688-142285-0002.flac", "librispeech/3005/3005-163389-0004.flac", "jfk.flac"]
    check_fbank([real_clip(name) for name in names])


@pytest.mark.parametrize("samples", [0, 399, 400, 559, 560, 16000])
def test_only_whole_frames_count(samples: int) -> None:
    expected = 0 if samples < 400 else torch.zeros(samples).unfold(0, 400, 160).shape[0]
    assert frame_count(samples) == expected


def test_what_is_behind_a_clip_changes_nothing(voice: Callable[..., Tensor]) -> None:
    clips = [voice(0.5), voice(0.9, seed=1), voice(0.11, seed=2)]
    counts = torch.tensor([frame_count(len(clip)) for clip in clips])
    together = subtract_mean(fbank(padded(clips)), counts)
    for row, clip, count in zip(together, clips, counts.tolist(), strict=True):
        alone = subtract_mean(fbank(clip[None]), torch.tensor([count]))[0]
        torch.testing.assert_close(row[:count], alone, rtol=0, atol=1e-5)
        assert not row[count:].any()
