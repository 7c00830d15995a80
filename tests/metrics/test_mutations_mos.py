"""Deliberate errors in the MOS predictors are caught by their parity checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_mos import check_squim, check_squim_mos, check_wvmos, shrink
from torch import Tensor

from metrics import mos_base, mos_squim, mos_wvmos
from metrics.base import ClipBatch

Patch = pytest.MonkeyPatch


def not_normalised(patch: Patch) -> None:
    def predict(self: Any, network: Any, clip: Tensor, *_: Any) -> Sequence[float]:
        return [float(network["dense"](network["encoder"](clip[None]).last_hidden_state).mean())]

    patch.setattr(mos_wvmos.WvMos, "predict", predict)


def pooled_by_maximum(patch: Patch) -> None:
    original = mos_wvmos.WvMos.predict

    def predict(self: Any, network: Any, *rest: Any) -> Sequence[float]:
        largest = torch.nn.Sequential(network["dense"], _Maximum())
        return original(self, {"encoder": network["encoder"], "dense": largest}, *rest)

    patch.setattr(mos_wvmos.WvMos, "predict", predict)


class _Maximum(torch.nn.Module):
    def forward(self, frames: Tensor) -> Tensor:
        return frames.amax(dim=1)


def head_without_relu(patch: Patch) -> None:
    original = mos_wvmos.WvMos.load

    def load(self: Any, path: Path) -> Any:
        network: Any = original(self, path)
        network["dense"][1] = torch.nn.Identity()
        return network

    patch.setattr(mos_wvmos.WvMos, "load", load)


def padding_leaks(patch: Patch) -> None:
    patch.setattr(ClipBatch, "clip", lambda batch, index: batch.audio[index])


def another_clip(patch: Patch) -> None:
    patch.setattr(ClipBatch, "clip", lambda batch, index: batch.audio[0, : int(batch.lengths[0])])


def dropout_left_on(patch: Patch) -> None:
    original = mos_base.MosPredictor._ask

    def ask(self: Any, batch: ClipBatch, index: int) -> Any:
        original(self, batch, index)
        self._network.train()
        return original(self, batch, index)

    patch.setattr(mos_base.MosPredictor, "_ask", ask)


def weights_not_loaded(patch: Patch) -> None:
    patch.setattr(mos_squim, "load_strictly", lambda network, state, path: network)
    patch.setattr(mos_wvmos, "load_strictly", lambda network, state, path: network)


def columns_swapped(patch: Patch) -> None:
    original = mos_squim.SquimObjective.predict
    patch.setattr(mos_squim.SquimObjective, "predict", lambda *a: original(*a)[::-1])


def last_sample_lost(patch: Patch) -> None:
    original = ClipBatch.clip
    patch.setattr(ClipBatch, "clip", lambda batch, index: original(batch, index)[:-40])


def wrong_rate(patch: Patch) -> None:
    patch.setattr(mos_squim, "SAMPLE_RATE", 24000)


def first_channel_only(patch: Patch) -> None:
    import soundfile

    original = soundfile.read
    patch.setattr(soundfile, "read", lambda *a, **k: (original(*a, **k)[0][:, :1], original(*a, **k)[1]))


def clip_and_reference_swapped(patch: Patch) -> None:
    original = mos_squim.SquimSubjective.predict

    def predict(self: Any, network: Any, *rest: Any) -> Any:
        return original(self, lambda clip, reference: network(reference, clip), *rest)

    patch.setattr(mos_squim.SquimSubjective, "predict", predict)


MUTATIONS: list[tuple[Callable[..., None], Callable[[Patch], None]]] = [
    (check_wvmos, not_normalised),
    (check_wvmos, pooled_by_maximum),
    (check_wvmos, head_without_relu),
    (check_wvmos, padding_leaks),
    (check_wvmos, dropout_left_on),
    (check_wvmos, weights_not_loaded),
    (check_squim, padding_leaks),
    (check_squim, another_clip),
    (check_squim, weights_not_loaded),
    (check_squim, columns_swapped),
    (check_squim, last_sample_lost),
    (check_squim_mos, wrong_rate),
    (check_squim_mos, first_channel_only),
    (check_squim_mos, clip_and_reference_swapped),
    (check_squim_mos, weights_not_loaded),
    (check_squim_mos, padding_leaks),
]


@pytest.mark.parametrize(("check", "mutation"), MUTATIONS, ids=lambda function: function.__name__)
def test_a_deliberate_error_is_caught(
    check: Callable[..., None],
    mutation: Callable[[Patch], None],
    voice: Callable[..., Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(monkeypatch)
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        check([0.1 + voice(0.6, seed=1), 0.3 * voice(1.1, pitch=190, seed=2)], tmp_path)
