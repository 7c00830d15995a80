"""Errors put into DNSMOS on purpose: the checks it is held to must see each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import parity_dnsmos as parity
import pytest
import torch

import metrics.dnsmos
import metrics.dnsmos_p808
import metrics.dnsmos_shared
import metrics.dnsmos_windows
from metrics.base import ClipBatch
from metrics.dnsmos_onnx import OnnxNets
from metrics.dnsmos_shared import HOP, Stretch
from metrics.dnsmos_torch import TorchNets
from metrics.mel import mel_power

pytest.importorskip("speechmos")
pytest.importorskip("onnxruntime")

Patch = pytest.MonkeyPatch


def windows_cut_without_float_rounding(patch: Patch) -> None:
    patch.setattr(metrics.dnsmos_windows, "_WINDOW_S", Fraction(901, 100))


def tiled_instead_of_doubled(patch: Patch) -> None:
    def tiled(samples: int, mode: str) -> list[int]:
        return list(range(0, max(samples, metrics.dnsmos_windows.WINDOW) - metrics.dnsmos_windows.WINDOW + 1, 16000))

    patch.setattr(metrics.dnsmos_windows, "window_starts", tiled)


def raw_instead_of_mos(patch: Patch) -> None:
    patch.setattr(np, "polyval", lambda coefficients, raw: raw)


def columns_in_the_order_of_the_network(patch: Patch) -> None:
    stack = np.stack
    patch.setattr(np, "stack", lambda rows, axis: stack([rows[1], rows[2], rows[0], rows[3]], axis=axis))


def normal_polynomials_for_personalised(patch: Patch) -> None:
    patch.setitem(metrics.dnsmos._POLYNOMIALS, True, metrics.dnsmos._POLYNOMIALS[False])


def peak_normalised(patch: Patch) -> None:
    samples = Stretch.samples
    patch.setattr(Stretch, "samples", lambda self, *span: samples(self, *span) / self.clip.abs().max())


def fft_of_320_instead_of_321(patch: Patch) -> None:
    def shorter(audio: Any, *, n_fft: int, **settings: Any) -> Any:
        return mel_power(audio, n_fft=n_fft - 1, **settings)[:, :, : audio.shape[1] // HOP]

    patch.setattr(metrics.dnsmos_p808, "mel_power", shorter)


def one_mel_off(patch: Patch) -> None:
    patch.setattr(
        metrics.dnsmos_p808,
        "mel_power",
        lambda audio, *, n_mels, **settings: mel_power(audio, n_mels=n_mels + 1, **settings)[:, 1:],
    )


def window_reflected_at_its_ends(patch: Patch) -> None:
    stft = torch.stft
    patch.setattr(torch, "stft", lambda *args, **settings: stft(*args, **{**settings, "pad_mode": "reflect"}))


def zeros_only_in_the_input(patch: Patch, runtime: type = OnnxNets) -> None:
    """What lies beyond an edge goes through the layers as a silent frame would, instead of being zero in each."""
    for part, layers in (("front", 4), ("middle", 1)):
        patch.setattr(runtime, part, _zeros_in_the_input(getattr(runtime, part), layers))


def _zeros_in_the_input(exact: Callable[..., torch.Tensor], layers: int) -> Callable[..., torch.Tensor]:
    def padded(self: Any, x: torch.Tensor, edge: str) -> torch.Tensor:
        before, after = layers * (edge == "first"), layers * (edge == "last")
        return exact(self, torch.nn.functional.pad(x, (0, 0, before, after)), "inside")

    return padded


def zeros_only_in_the_input_of_torch(patch: Patch) -> None:
    zeros_only_in_the_input(patch, TorchNets)


def edges_swapped(patch: Patch) -> None:
    exact = OnnxNets.front
    other = {"first": "last", "last": "first", "inside": "inside"}
    patch.setattr(OnnxNets, "front", lambda self, x, edge: exact(self, x, other[edge]))


def window_one_row_late(patch: Patch) -> None:
    exact = metrics.dnsmos_shared._Windows
    patch.setattr(
        metrics.dnsmos_shared,
        "_Windows",
        lambda shared, at, first, last, length: exact(shared.roll(1, 0), at, first, last, length),
    )


def period_in_whole_frames_always(patch: Patch) -> None:
    patch.setattr(Stretch, "period", property(lambda self: len(self.clip) // HOP))


def padding_of_the_batch_scored(patch: Patch) -> None:
    patch.setattr(ClipBatch, "clip", lambda self, index: self.audio[index])


def precision_left_to_the_caller(patch: Patch) -> None:
    patch.setattr(parity, "full_float32", contextlib.nullcontext)


ODD, WHOLE = 46407, 46400  # samples: out of step with the frames of 160, and in step

CHECKS: dict[Callable[[Patch], None], Callable[[], None]] = {
    windows_cut_without_float_rounding: lambda: parity.check_windows(17 * 16000),
    tiled_instead_of_doubled: lambda: parity.check_scores([parity.noise(ODD)]),
    raw_instead_of_mos: lambda: parity.check_scores([parity.noise(ODD)]),
    columns_in_the_order_of_the_network: lambda: parity.check_scores([parity.noise(ODD)]),
    normal_polynomials_for_personalised: lambda: parity.check_scores([parity.noise(ODD)], personalised=True),
    peak_normalised: lambda: parity.check_scores([parity.noise(ODD) / 4]),
    fft_of_320_instead_of_321: lambda: parity.check_p808_features(parity.noise(ODD), [0, 100]),
    one_mel_off: lambda: parity.check_p808_features(parity.noise(ODD), [0, 100]),
    window_reflected_at_its_ends: lambda: parity.check_p808_features(parity.noise(ODD), [0, 100]),
    zeros_only_in_the_input: lambda: parity.check_shared_rows(parity.noise(ODD), [0], max_chunk=512),
    edges_swapped: lambda: parity.check_shared_rows(parity.noise(ODD), [0], max_chunk=512),
    window_one_row_late: lambda: parity.check_shared_rows(parity.noise(ODD), [0], max_chunk=512),
    period_in_whole_frames_always: lambda: parity.check_shared_rows(parity.noise(ODD), [0], max_chunk=512),
    padding_of_the_batch_scored: lambda: parity.check_batch([parity.noise(ODD), parity.noise(WHOLE - 16000)]),
    zeros_only_in_the_input_of_torch: lambda: parity.check_torch([parity.noise(16000)]),
    precision_left_to_the_caller: parity.check_full_float32,
}


@pytest.mark.parametrize("mutation", CHECKS, ids=lambda mutation: mutation.__name__)
def test_error_is_caught(mutation: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        CHECKS[mutation]()
