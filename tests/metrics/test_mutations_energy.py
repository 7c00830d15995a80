"""Deliberate errors in the energy metric, each of which the comparison with a plain loop must catch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_energy import assert_equals_the_loop
from parity_pauses import fixture_speech
from torch import Tensor

from metrics import energy, frames, silero

Mutation = Callable[[pytest.MonkeyPatch], None]


def change_levels(patch: pytest.MonkeyPatch, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    original = energy.frame_levels
    patch.setattr(energy, "frame_levels", lambda *arguments: change(*original(*arguments)))


def frame_of_20_ms(patch: pytest.MonkeyPatch) -> None:
    original = energy.frame_levels
    patch.setattr(energy, "frame_levels", lambda audio, lengths, rate, frame, hop: original(audio, lengths, rate, 0.02))


def hop_one_sample_off(patch: pytest.MonkeyPatch) -> None:
    original = energy.frame_levels
    patch.setattr(
        energy,
        "frame_levels",
        lambda audio, lengths, rate, frame, hop: original(audio, lengths, rate, frame, hop + 1 / rate),
    )


def padding_counts(patch: pytest.MonkeyPatch) -> None:
    change_levels(patch, lambda levels, mask: (levels, torch.ones_like(mask)))


def levels_as_of_amplitudes(patch: pytest.MonkeyPatch) -> None:
    change_levels(patch, lambda levels, mask: (2 * levels, mask))


def full_scale_sine_at_zero(patch: pytest.MonkeyPatch) -> None:
    change_levels(patch, lambda levels, mask: (levels + 3.0103, mask))


def last_frame_lost(patch: pytest.MonkeyPatch) -> None:
    change_levels(patch, lambda levels, mask: (levels, mask & mask.roll(-1, dims=1)))


def within_30_db(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(frames, "DYNAMIC_RANGE_DB", 30.0)


def loudest_of_the_batch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(energy, "active", lambda levels, mask: mask & (levels >= levels[mask].max() - 40))


@pytest.mark.parametrize(
    "mutation",
    [
        frame_of_20_ms,
        hop_one_sample_off,
        padding_counts,
        levels_as_of_amplitudes,
        full_scale_sine_at_zero,
        last_frame_lost,
        within_30_db,
        loudest_of_the_batch,
    ],
)
def test_is_caught(mutation: Mutation, voice: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    speech = voice(1.3, sample_rate=24000)
    with pytest.raises(AssertionError):
        assert_equals_the_loop([speech, 0.05 * speech[:20000] + 1e-3 * speech[1000:21000]], 24000)


def speech_half_a_frame_late(patch: pytest.MonkeyPatch) -> None:
    inside = energy.in_stretches
    patch.setattr(energy, "in_stretches", lambda times, stretches: inside(times - 0.0125, stretches))


def not_resampled_for_the_vad(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(silero, "resample", lambda clip, source, target: clip)


@pytest.mark.parametrize("mutation", [speech_half_a_frame_late, not_resampled_for_the_vad])
def test_is_caught_in_frames_by_vad(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("silero_vad")
    import soxr

    mutation(monkeypatch)
    clip = torch.from_numpy(soxr.resample(fixture_speech("sarah/sarah-1").numpy(), 16000, 24000))
    with pytest.raises(AssertionError):
        assert_equals_the_loop([torch.cat([torch.zeros(12000), clip])], 24000, frames="vad")
