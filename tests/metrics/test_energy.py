"""Frame levels and the energy columns."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from parity_energy import assert_equals_the_loop
from parity_pauses import fixture_speech, speech_clips
from torch import Tensor

from metrics.base import ClipBatch
from metrics.energy import Energy
from metrics.frames import frame_levels


def clips_at(sample_rate: int, voice: Callable[..., Tensor]) -> list[Tensor]:
    speech = voice(1.3, sample_rate=sample_rate)
    return [speech, torch.cat([speech, torch.zeros(sample_rate)]), 0.1 * speech[: sample_rate // 3]]


@pytest.mark.parametrize("frames", ["within40", "all", "all_floored"])
@pytest.mark.parametrize("sample_rate", [16000, 22050, 24000])
def test_equals_a_loop_over_frames(sample_rate: int, frames: str, voice: Callable[..., Tensor]) -> None:
    assert_equals_the_loop(clips_at(sample_rate, voice), sample_rate, frames=frames)


def test_frame_and_hop_are_options(voice: Callable[..., Tensor]) -> None:
    assert_equals_the_loop(clips_at(24000, voice), 24000, frame_ms=1000 * 2048 / 24000, hop_ms=1000 * 512 / 24000)
    assert Energy(hop_ms=5).passport() != Energy().passport() != Energy(frame_ms=20).passport()


def test_frames_in_speech_are_those_of_silero_vad() -> None:
    pytest.importorskip("silero_vad")
    speech = [clip for place, clip in enumerate(speech_clips()) if place != 3]
    assert_equals_the_loop(speech, 16000, frames="vad")


def test_frames_in_speech_at_another_rate() -> None:
    pytest.importorskip("silero_vad")
    import soxr

    clip = torch.from_numpy(soxr.resample(fixture_speech("sumit/sumit-1").numpy(), 16000, 24000))
    clips = [torch.cat([torch.zeros(24000), clip]), clip[:40000]]
    assert_equals_the_loop(clips, 24000, frames="vad")


def test_a_clip_without_speech_has_a_reason(batch_of: Callable[..., ClipBatch]) -> None:
    pytest.importorskip("silero_vad")
    scores = Energy(frames="vad").score(batch_of(speech_clips()))
    assert [bool(reasons) for reasons in scores.reasons] == [False, False, False, True, False]
    assert scores.reasons[3] == dict.fromkeys(scores, "no speech was found in the clip")
    assert math.isnan(scores["energy_mean_db"][3])


def test_known_levels(batch_of: Callable[..., ClipBatch]) -> None:
    sine = torch.sin(2 * torch.pi * 400 * torch.arange(16000) / 16000)
    steps = torch.cat([sine, 0.1 * sine, 0.001 * sine])
    clips = [sine, steps, sine[:400], 1e-3 * sine]
    scores = Energy().score(batch_of(clips))
    assert scores["energy_mean_db"][0] == pytest.approx(-3.0103, abs=1e-3)
    assert scores["energy_std_db"][0] == pytest.approx(0, abs=1e-3)
    # Half the active frames at -3 dBFS, half at -23, none of those at -63.
    assert scores["energy_mean_db"][1] == pytest.approx(-13.01, abs=0.1)
    assert scores["energy_std_db"][1] == pytest.approx(10, abs=0.1)
    assert scores.details[2]["energy_frames"] == 1
    assert scores["energy_mean_db"][3] == pytest.approx(-63.0103, abs=1e-3)
    assert scores.details[1]["energy_clip_db"] == pytest.approx(10 * math.log10(0.5 * 1.010001 / 3), abs=1e-3)
    # A third each at -3, -23 and -63 dBFS, the last of which the floor lifts to -60.
    assert Energy(frames="all").score(batch_of(clips))["energy_mean_db"][1] == pytest.approx(-29.68, abs=0.2)
    assert Energy(frames="all_floored").score(batch_of(clips))["energy_mean_db"][1] == pytest.approx(-28.67, abs=0.2)


def test_real_speech_has_the_levels_of_speech(
    real_clip: Callable[[str], Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    batch = batch_of([real_clip(f"librispeech/3005/3005-163389-000{n}.flac") for n in range(6)])
    for frames in ("within40", "vad"):
        if Energy.unavailable(frames=frames) is None:
            scores = Energy(frames=frames).score(batch)
            assert all(-42 < mean < -20 for mean in scores["energy_mean_db"])
            assert all(5 < std < 15 for std in scores["energy_std_db"])


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    audio = torch.ones(1, 1000)
    levels, mask = frame_levels(audio, torch.tensor([samples]), 16000)
    assert int(mask.sum()) == frames
    assert levels[mask].tolist() == pytest.approx([0.0] * frames)


@pytest.mark.parametrize("options", [{"frames": "loud"}, {"frame_ms": 1.0}, {"hop_ms": 0.0}, {"hop_ms": math.nan}])
def test_a_bad_option_is_refused_in_one_sentence(options: dict[str, str | float]) -> None:
    with pytest.raises(ValueError, match=r"of energy is .*: it takes"):
        Energy(**options)


def test_only_the_vad_needs_silero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.packages.find_spec", lambda name: None)
    assert Energy.unavailable() is None
    assert "pip install" in (Energy.unavailable(frames="vad") or "")
