"""Deliberate errors in WADA-SNR, each of which a check must catch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_wada import (
    assert_a_larger_statistic_is_never_a_lower_snr,
    assert_equals_the_reference,
    assert_table_is_the_integral,
    awkward_mixtures,
)
from torch import Tensor

from metrics import wada, wada_table
from metrics.base import ClipBatch
from metrics.wada import WadaSnr

Mutation = Callable[[pytest.MonkeyPatch], None]


def floor_of_half_a_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wada, "FLOOR", 0.5 / 32768)


def no_peak_normalisation(patch: pytest.MonkeyPatch) -> None:
    def statistic(magnitude: Tensor, mask: Tensor) -> Tensor:
        floored = magnitude.clamp_min(wada.FLOOR)
        return wada._masked_mean(floored, mask).log() - wada._masked_mean(floored.log(), mask)

    patch.setattr(wada, "amplitude_statistic", statistic)


def peak_of_the_batch(patch: pytest.MonkeyPatch) -> None:
    original = wada.amplitude_statistic
    patch.setattr(
        wada, "amplitude_statistic", lambda magnitude, mask: original(magnitude.clamp_max(0.1 * magnitude.max()), mask)
    )


def padding_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClipBatch, "mask", lambda batch: torch.ones_like(batch.audio, dtype=torch.bool))


def table_one_row_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wada, "DB_FIRST", wada.DB_FIRST + 1)


def decimal_logarithm(patch: pytest.MonkeyPatch) -> None:
    original = wada.amplitude_statistic
    patch.setattr(wada, "amplitude_statistic", lambda magnitude, mask: original(magnitude, mask) / 2.302585)


def offset_of_the_padded_clip(patch: pytest.MonkeyPatch) -> None:
    def prepared(self: WadaSnr, audio: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return (audio - audio.mean(dim=1, keepdim=True)).abs() if self._dc else audio.abs(), mask

    patch.setattr(WadaSnr, "_prepared", prepared)


def zeros_dropped_after_the_mean(patch: pytest.MonkeyPatch) -> None:
    def prepared(self: WadaSnr, audio: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self._dc:
            audio = audio - wada._masked_mean(audio, mask)[:, None].float()
        return audio.abs(), mask & (audio != 0) if self._zeros else mask

    patch.setattr(WadaSnr, "_prepared", prepared)


@pytest.mark.parametrize(
    ("mutation", "options"),
    [
        (floor_of_half_a_step, {}),
        (no_peak_normalisation, {}),
        (peak_of_the_batch, {}),
        (padding_counts, {}),
        (table_one_row_off, {}),
        (decimal_logarithm, {}),
        (offset_of_the_padded_clip, {"dc": True}),
        (zeros_dropped_after_the_mean, {"dc": True, "zeros": True}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_comparison_with_the_reference_catches(
    mutation: Mutation, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        assert_equals_the_reference(awkward_mixtures(), **options)


def test_the_integral_catches_a_mistyped_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(wada_table.PUBLISHED_G)
    rows[60] = 1.35172  # 1.36057 with two digits turned round
    monkeypatch.setattr(wada_table, "PUBLISHED_G", tuple(rows))
    with pytest.raises(AssertionError):
        assert_table_is_the_integral()


def test_a_table_that_is_not_made_monotone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unchanged:
        def __init__(self, values: Tensor) -> None:
            self.values = values

    monkeypatch.setattr(Tensor, "cummax", lambda table, dim: Unchanged(table))
    with pytest.raises(AssertionError):
        assert_a_larger_statistic_is_never_a_lower_snr()
