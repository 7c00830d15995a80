"""Silence by silero-vad, held to the package itself, and by level, of clips whose answer is known."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable

import pytest
import torch
from parity_pauses import assert_equals_silero, fixture_speech, speech_clips
from torch import Tensor

from metrics import silero
from metrics.base import ClipBatch, Scores
from metrics.pauses import Pauses
from metrics.silero import SileroVad

needs_silero = pytest.mark.skipif(silero.unavailable() is not None, reason=f"pauses {silero.unavailable()}")


@needs_silero
def test_equals_silero_vad_one_by_one() -> None:
    assert_equals_silero(speech_clips())


@needs_silero
def test_equals_silero_vad_on_recordings(real_clip: Callable[[str], Tensor]) -> None:
    names = ("librispeech/2033/2033-164914-0000", "librispeech/2414/2414-128291-0003", "librivox/sense-01-0880", "jfk")
    assert_equals_silero([real_clip(f"{name}.flac") for name in names])


def assert_same(one: Scores, other: Scores, order: list[int]) -> None:
    for column in one:
        assert one[column] == pytest.approx([other[column][index] for index in order], abs=1e-4, nan_ok=True)
    assert one.reasons == [other.reasons[index] for index in order]


@pytest.mark.parametrize("method", ["level", pytest.param("vad", marks=needs_silero)])
def test_alone_in_any_order_and_with_any_padding(method: str, batch_of: Callable[..., ClipBatch]) -> None:
    broken = torch.full((8000,), torch.nan)
    clips = [*speech_clips(), broken, torch.zeros(0), torch.zeros(16000), torch.full((1,), 0.5)]
    metric = Pauses(method=method)
    together = metric.score(batch_of(clips))
    for index, clip in enumerate(clips):
        assert_same(metric.score(batch_of([clip])), together, [index])
    order = [4, 7, 5, 0, 8, 2, 6, 1, 3]
    turned = batch_of([clips[index] for index in order])
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 5000), value=0.3), turned.lengths, 16000, turned.info)
    assert_same(metric.score(padded), together, order)

    for name, values in together.items():
        for value, reasons in zip(values, together.reasons, strict=True):
            assert math.isnan(value) == (name in reasons)
    json.dumps([together.reasons, together.details])


@needs_silero
def test_a_pass_of_windows_may_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = speech_clips()
    vad = SileroVad(torch.device("cpu"))
    whole = vad.probabilities(clips)
    monkeypatch.setattr(silero, "_WINDOWS_PER_PASS", 7)
    for one, other in zip(whole, vad.probabilities(clips), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


@needs_silero
def test_known_silence_around_and_inside_speech(batch_of: Callable[..., ClipBatch]) -> None:
    speech = fixture_speech("sumit/sumit-1")[4000:36000]
    gap = torch.zeros(24000)
    scores = Pauses().score(batch_of([torch.cat([gap, speech, gap, speech, gap[:16000]])]))
    assert scores["leading_silence_s"][0] == pytest.approx(1.5, abs=0.25)
    assert scores["longest_pause_s"][0] == pytest.approx(1.5, abs=0.25)
    assert scores["trailing_silence_s"][0] == pytest.approx(1.0, abs=0.25)
    assert scores["silence_ratio"][0] == pytest.approx(4 / 8, abs=0.1)


@pytest.mark.parametrize("method", ["level", pytest.param("vad", marks=needs_silero)])
def test_a_clip_without_speech_is_one_pause(method: str, batch_of: Callable[..., ClipBatch]) -> None:
    scores = Pauses(method=method).score(batch_of([torch.zeros(16240)]))
    total = 1.015 if method == "vad" else 1.0  # 100 whole frames
    assert list(scores.values()) == [[1.0], [pytest.approx(total)], [pytest.approx(total)], [pytest.approx(total)]]
    assert scores.details == [{"pauses_speech": []}]


def test_level_counts_quiet_frames(batch_of: Callable[..., ClipBatch]) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 400 * torch.arange(16000) / 16000)
    pause = 0.004 * tone  # 48 dB below
    quiet = 1.5e-3 * tone  # an even level of -65.5 dBFS
    clips = [
        tone,
        torch.cat([tone, pause]),
        torch.cat([tone, 0.02 * tone]),
        quiet,
        torch.cat([pause, tone, pause, tone]),
    ]
    scores = Pauses(method="level").score(batch_of(clips))
    assert scores["silence_ratio"] == pytest.approx([0, 0.5, 0, 1, 0.5], abs=0.015)
    assert scores["leading_silence_s"] == pytest.approx([0, 0, 0, 1, 1], abs=0.03)
    assert scores["trailing_silence_s"] == pytest.approx([0, 1, 0, 1, 0], abs=0.03)
    assert scores["longest_pause_s"] == pytest.approx([0, 0, 0, 1, 1], abs=0.03)


def test_level_refuses_what_has_no_frame(batch_of: Callable[..., ClipBatch]) -> None:
    scores = Pauses(method="level").score(batch_of([torch.rand(399)]))
    assert math.isnan(scores["silence_ratio"][0]) and "25 ms" in scores.reasons[0]["silence_ratio"]


@needs_silero
def test_importing_the_package_leaves_the_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "silero_vad"]:
        monkeypatch.delitem(sys.modules, name)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        silero._stretches([0.9] * 20, 20 * 512)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@needs_silero
def test_the_passport_names_the_network() -> None:
    by_vad, by_level = Pauses().passport(), Pauses(method="level").passport()
    assert by_vad != by_level and by_vad == Pauses(method="vad").passport()
    assert by_vad.weights_sha256 == silero.weights_sha256() and len(*by_vad.weights_sha256.values()) == 64
    assert by_level.weights_sha256 == {} and "silero-vad" in by_vad.packages


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.packages.find_spec", lambda name: None)
    assert "silero_vad: pip install 'evalkit[bundled]'" in (Pauses.unavailable() or "")
    assert Pauses.unavailable(method="level") is None


def test_a_bad_option_and_a_wrong_rate_are_refused(batch_of: Callable[..., ClipBatch]) -> None:
    with pytest.raises(ValueError, match="it takes one of vad, level"):
        Pauses(method="energy")
    with pytest.raises(ValueError, match="16000 Hz and got 24000 Hz"):
        Pauses(method="level").score(batch_of([torch.rand(24000)], sample_rate=24000))
