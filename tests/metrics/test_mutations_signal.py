"""Deliberate errors in signal, pauses and prosody, each of which a check must catch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import parity_pauses
import parity_prosody
import parity_signal
import pytest
import torch
from torch import Tensor, nn

from metrics import f0, prosody, signal, silero
from metrics.packages import package_file
from metrics.pauses import Pauses
from metrics.prosody import Prosody
from metrics.silero import SileroNetwork, SileroVad

Mutation = Callable[[pytest.MonkeyPatch], None]
by_name = partial(pytest.mark.parametrize, "mutation", ids=lambda mutation: mutation.__name__)


def frames_in_pauses_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signal, "active", lambda levels, mask: mask)


def band_range_of_power_and_not_decibels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signal, "BAND_RANGE_DB", 100.0)


def rectangular_window(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch, "blackman_window", lambda frame, device: torch.ones(frame, device=device))


def two_samples_are_clipping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signal, "CLIPPED_RUN", 2)


def bands_by_the_nominal_frame_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signal, "BAND_HZ", 200.0 * 600 / 512)


def padding_has_a_spectrum(patch: pytest.MonkeyPatch) -> None:
    original = signal.frame_levels

    def all_real(audio: Tensor, lengths: Tensor, rate: int) -> tuple[Tensor, Tensor]:
        return original(audio, torch.full_like(lengths, audio.shape[1]), rate)

    patch.setattr(signal, "frame_levels", all_real)
    patch.setattr(signal, "DYNAMIC_RANGE_DB", math.inf)
    patch.setattr(signal, "active", lambda levels, mask: mask)


@by_name(
    [
        frames_in_pauses_count,
        band_range_of_power_and_not_decibels,
        rectangular_window,
        two_samples_are_clipping,
        bands_by_the_nominal_frame_length,
        padding_has_a_spectrum,
    ]
)
def test_is_caught_in_signal(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        parity_signal.assert_signal_is_right()


def older_network_of_the_same_wheel(patch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    def pretrained(cls: type[SileroNetwork]) -> SileroNetwork:
        state = load_file(package_file("silero_vad", "data/silero_vad_16k.safetensors"))
        renamed = {
            name.replace("lstm_cell.", "lstm.") + ("_l0" if name.startswith("lstm_cell.") else ""): tensor
            for name, tensor in state.items()
        }
        network = cls()
        network.load_state_dict(renamed)
        return network.eval().requires_grad_(False)

    patch.setattr(SileroNetwork, "pretrained", classmethod(pretrained))


def windows_without_context(patch: pytest.MonkeyPatch) -> None:
    original = silero._windows
    patch.setattr(silero, "_windows", lambda clip: original(clip) * (torch.arange(576) >= 64))


def one_sample_late(patch: pytest.MonkeyPatch) -> None:
    original = silero._windows
    patch.setattr(silero, "_windows", lambda clip: original(clip.roll(1)))


def zeros_instead_of_reflection(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(silero, "pad", lambda tensor, sizes, mode="constant": nn.functional.pad(tensor, sizes))


def memory_leaks_between_clips(patch: pytest.MonkeyPatch) -> None:
    def decode(self: SileroNetwork, features: Tensor) -> Tensor:
        hidden, _ = self.lstm(features.reshape(1, -1, 128))
        probabilities: Tensor = self.final_conv(hidden.relu().transpose(1, 2)).sigmoid()
        return probabilities.reshape(features.shape[:2])

    patch.setattr(SileroNetwork, "decode", decode)


def length_of_the_last_window_rounded_up(patch: pytest.MonkeyPatch) -> None:
    original = silero._stretches
    patch.setattr(silero, "_stretches", lambda own, samples: original(own, 512 * len(own)))


def share_of_the_padded_clip(patch: pytest.MonkeyPatch) -> None:
    def by_vad(self: Pauses, batch: Any) -> Any:
        total = batch.audio.shape[1] / batch.sample_rate
        return ((stretches, total) for stretches in self._vad.speech(batch))

    patch.setattr(Pauses, "_by_vad", by_vad)


@by_name(
    [
        older_network_of_the_same_wheel,
        windows_without_context,
        one_sample_late,
        zeros_instead_of_reflection,
        memory_leaks_between_clips,
        length_of_the_last_window_rounded_up,
        share_of_the_padded_clip,
    ]
)
def test_is_caught_in_pauses(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    if sentence := Pauses.unavailable():
        pytest.skip(sentence)
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        parity_pauses.assert_equals_silero(parity_pauses.speech_clips())


def pitch_an_octave_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f0, "SAMPLE_RATE", 8000)


def noise_is_voiced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f0, "APERIODICITY", 1.0)


def states_a_semitone_apart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f0, "RESOLUTION_ST", 0.9)


def ceiling_below_high_voices(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(f0, "CEILING_HZ", 400.0)


@by_name([pitch_an_octave_down, noise_is_voiced, states_a_semitone_apart, ceiling_below_high_voices])
def test_is_caught_in_pitch(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    if sentence := Prosody.unavailable():
        pytest.skip(sentence)
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        parity_prosody.assert_pitch_is_right()


def hum_in_pauses_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prosody, "_in_speech", lambda track, stretches: track)


def frames_of_another_hop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prosody, "HOP_S", 0.0125)


def range_from_end_to_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prosody, "LOW_PERCENTILE", 0)


def pauses_are_speech(patch: pytest.MonkeyPatch) -> None:
    def speech(self: SileroVad, batch: Any) -> list[list[tuple[float, float]]]:
        return [[(0.0, len(batch.clip(index)) / 16000)] for index in range(len(batch))]

    patch.setattr(SileroVad, "speech", speech)


def a_hyphen_joins_words(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prosody, "spoken_words", lambda text: len(text.split()))


def strays_are_kept_out_by_the_median(patch: pytest.MonkeyPatch) -> None:
    def near(voiced: Sequence[float]) -> Any:
        values = np.asarray(voiced)
        return values[np.abs(np.log2(values / np.median(values))) < 1 / 12]

    patch.setattr(prosody, "_plausible", near)


@by_name(
    [
        hum_in_pauses_counts,
        frames_of_another_hop,
        range_from_end_to_end,
        pauses_are_speech,
        a_hyphen_joins_words,
        strays_are_kept_out_by_the_median,
    ]
)
def test_is_caught_in_prosody(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    if sentence := Prosody.unavailable():
        pytest.skip(sentence)
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        parity_prosody.assert_prosody_is_right()
