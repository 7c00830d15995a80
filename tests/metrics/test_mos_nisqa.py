"""NISQA with random weights in a checkpoint of the published form, against torchmetrics' public function."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.mos_nisqa import Nisqa

nisqa = pytest.importorskip("torchmetrics.functional.audio.nisqa", reason="torchmetrics is not installed")

# config/train_nisqa_cnn_sa_ap.yaml of the NISQA repository.
ARGS: dict[str, Any] = {
    "ms_fmax": 20000,
    "ms_n_fft": 4096,
    "ms_hop_length": 0.01,
    "ms_win_length": 0.02,
    "ms_n_mels": 48,
    "ms_seg_length": 15,
    "ms_seg_hop_length": 4,
    "ms_max_segments": 60,
    "cnn_c_out_1": 16,
    "cnn_c_out_2": 32,
    "cnn_c_out_3": 64,
    "cnn_kernel_size": (3, 3),
    "cnn_dropout": 0.2,
    "cnn_pool_1": [24, 7],
    "cnn_pool_2": [12, 5],
    "cnn_pool_3": [6, 3],
    "td_sa_d_model": 64,
    "td_sa_nhead": 1,
    "td_sa_num_layers": 2,
    "td_sa_h": 64,
    "td_sa_dropout": 0.1,
    "pool_att_h": 128,
    "pool_att_dropout": 0,
}


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nisqa:
    """Finds its weights where torchmetrics keeps them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    nisqa._load_nisqa_model.cache_clear()
    path = tmp_path / ".torchmetrics" / "NISQA" / "nisqa.tar"
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"args": ARGS, "model_state_dict": nisqa._NISQADIM(ARGS).state_dict()}, path)
    return Nisqa()


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_parity_alone_and_in_any_batch(metric: Nisqa, voice: Callable[..., Tensor], rate: int) -> None:
    clips = [voice(0.6, sample_rate=rate, seed=1), voice(1.3, sample_rate=rate, peak=0.05, seed=2)]
    info = [ClipInfo("a"), ClipInfo("b")]
    batch = ClipBatch.of(clips, rate, info)
    padded = ClipBatch(torch.nn.functional.pad(batch.audio, (0, 4000)), batch.lengths, rate, info)
    for scores in (metric.score(batch), metric.score(padded)):
        for index, clip in enumerate(clips):
            theirs = nisqa.non_intrusive_speech_quality_assessment(clip, rate).tolist()
            assert [scores[column.name][index] for column in metric.spec.columns] == pytest.approx(theirs, abs=1e-5)


def test_too_short_too_long_and_silent_clips_have_a_reason(metric: Nisqa, voice: Callable[..., Tensor]) -> None:
    clips = [voice(0.1), voice(4.0), torch.zeros(16000), voice(0.5)]
    scores = metric.score(ClipBatch.of(clips, 16000, [ClipInfo(str(index)) for index in range(4)]))
    assert [math.isnan(value) for value in scores["nisqa_mos"]] == [True, True, True, False]
    assert "shorter than 0.2 s" in scores.reasons[0]["nisqa_mos"]
    assert "Use shorter audio" in scores.reasons[1]["nisqa_loudness"]
    json.dumps(dict(metric.passport().parameters))


def test_another_checkpoint_is_refused(tmp_path: Path, voice: Callable[..., Tensor]) -> None:
    torch.save({"args": {"model": "NISQA_DE"}, "model_state_dict": {}}, tmp_path / "other.tar")
    with pytest.raises(ValueError, match=r"other\.tar is not a checkpoint of NISQA v2\.0"):
        Nisqa(weights=str(tmp_path / "other.tar")).score(ClipBatch.of([voice(0.5)], 16000, [ClipInfo("a")]))
