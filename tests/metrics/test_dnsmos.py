"""DNSMOS against speechmos: the same windows, the same features, the same scores."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metrics.dnsmos
from metrics.base import ClipBatch
from metrics.dnsmos import DnsMos
from metrics.dnsmos_nets import p808_features
from metrics.dnsmos_windows import WINDOW, cut, distinct_windows, window_starts


@pytest.fixture(scope="module")
def speechmos() -> ModuleType:
    pytest.importorskip("speechmos")
    from speechmos import dnsmos

    return dnsmos


@pytest.fixture(scope="module")
def windows_of_speechmos(speechmos: ModuleType) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The windows that speechmos gives to its network for a clip."""

    def windows(samples: np.ndarray) -> list[np.ndarray]:
        seen: list[np.ndarray] = []

        def p835(_: None, inputs: dict[str, Any]) -> list[np.ndarray]:
            seen.append(inputs["input_1"][0])
            return [np.zeros((1, 3))]

        judge = object.__new__(speechmos.DNSMOS)
        judge.onnx_sess = SimpleNamespace(run=p835)
        judge.p808_onnx_sess = SimpleNamespace(run=lambda *_: [np.zeros((1, 1))])
        judge.audio_melspec = lambda audio: np.zeros((900, 120))
        judge(samples, 16000, False)
        return seen

    return windows


# Around the doubling (9.01 s), short clips, the dropped windows 7..23 and 119..122.
LENGTHS = [1, 159, 8000, 16000, 32000, 48000, 70400, 73600, 144159, 144160, 144161, 159999, 160000, 175999, 176000]
LONGER = [seconds * 16000 + 7 for seconds in (16, 17, 18, 30, 33, 34, 60, 127, 128, 129, 131, 132)]


@pytest.mark.parametrize("samples", LENGTHS + LONGER)
def test_windows_are_those_of_speechmos(
    windows_of_speechmos: Callable[[np.ndarray], list[np.ndarray]], samples: int
) -> None:
    clip = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    theirs = windows_of_speechmos(clip)
    starts = window_starts(samples)
    assert len(starts) == len(theirs)
    for start, window in zip(starts, theirs, strict=True):
        np.testing.assert_array_equal(cut(torch.from_numpy(clip), start), window)


@pytest.mark.parametrize(("seconds", "distinct", "all_windows"), [(0.5, 1, 7), (1, 1, 7), (2, 2, 7), (3, 3, 3)])
def test_equal_windows_of_a_repeated_clip_are_found(seconds: float, distinct: int, all_windows: int) -> None:
    clip = torch.rand(int(seconds * 16000))
    counted = distinct_windows(len(clip))
    assert (len(counted), counted.total()) == (distinct, all_windows)
    for start in window_starts(len(clip)):
        assert torch.equal(cut(clip, start), cut(clip, start % len(clip)))
        assert start % len(clip) in counted


def test_p808_features_equal_those_of_speechmos(speechmos: ModuleType, voice: Callable[..., Tensor]) -> None:
    windows = torch.stack([cut(voice(3.3, seed=1), 0), cut(voice(9.5, seed=2, pitch=200), 0)])
    features = p808_features(windows)
    assert features.shape == (2, 900, 120)
    judge = object.__new__(speechmos.DNSMOS)
    for ours, window in zip(features, windows, strict=True):
        np.testing.assert_allclose(ours, judge.audio_melspec(window.numpy()[:-160]), atol=2e-4)


# 2, 7, 1 and 1 windows.
REAL_CLIPS = [
    "librispeech/1688/1688-142285-0002.flac",
    "librispeech/1998/1998-15444-0002.flac",
    "librispeech/2414/2414-128291-0004.flac",
    "librivox/sense-01-0890.flac",
]


def test_equals_speechmos_on_real_clips(
    speechmos: ModuleType, real_clip: Callable[[str], Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    clips = [real_clip(name) for name in REAL_CLIPS]
    scores = DnsMos().score(batch_of(clips))
    for index, clip in enumerate(clips):
        theirs = speechmos.run(clip.numpy(), 16000)
        for name in ("ovrl", "sig", "bak", "p808"):
            assert scores[f"dnsmos_{name}"][index] == pytest.approx(theirs[f"{name}_mos"], abs=2e-5), name


def test_equals_speechmos_on_noise_and_on_a_synthetic_voice(
    speechmos: ModuleType, voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    noise = 0.01 * torch.randn(WINDOW, generator=torch.Generator().manual_seed(0))
    clips = [noise, voice(2.9)]
    scores = DnsMos().score(batch_of(clips))
    for index, clip in enumerate(clips):
        theirs = speechmos.run(clip.numpy(), 16000)
        for name in ("ovrl", "sig", "bak", "p808"):
            assert scores[f"dnsmos_{name}"][index] == pytest.approx(theirs[f"{name}_mos"], abs=2e-5), name


def test_the_size_of_a_pass_changes_nothing(
    voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of([voice(1.0), voice(2.0, seed=1), voice(1.0, seed=2)])
    metric = DnsMos(threads=1)
    before = metric.score(batch)
    monkeypatch.setattr(metrics.dnsmos, "WINDOWS_PER_PASS", 3)
    for column, values in metric.score(batch).items():
        assert values == pytest.approx(before[column], abs=1e-5)


def test_silence_is_refused_instead_of_scored(batch_of: Callable[..., ClipBatch]) -> None:
    nearly = 0.99e-4 * torch.ones(WINDOW)
    scores = DnsMos().score(batch_of([nearly]))
    assert all("silent" in scores.reasons[0][column] for column in scores)


def test_samples_beyond_full_scale_are_clamped_and_counted(
    voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    loud = voice(1.0, peak=1.5)
    scores = DnsMos().score(batch_of([loud, loud.clamp(-1, 1)]))
    for column, (raw, clamped) in scores.items():
        assert raw == pytest.approx(clamped, abs=1e-5), column
    assert scores.details == [{"dnsmos_clamped_samples": int((loud.abs() > 1).sum())}, {}]
