"""The faster-whisper judge with small random weights in CTranslate2's real format, converted by its own converter."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("whisper")
pytest.importorskip("transformers")
pytest.importorskip("faster_whisper")

import parity_faster_whisper
import parity_whisper as parity

from metrics import whisper_heard
from metrics.base import ClipBatch, ClipInfo, Metric
from metrics.wer_faster_whisper import FasterWhisperWer

Readings = Callable[[int], tuple[list[Tensor], list[ClipInfo]]]


@pytest.fixture(scope="module")
def model() -> Any:
    return parity.tiny_model(english=False)


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity_faster_whisper.convert(model, tmp_path_factory.mktemp("faster"))


@pytest.fixture(scope="module")
def clips(readings: Readings) -> list[Tensor]:
    return readings(40)[0][::8]


def test_it_hears_what_openai_whisper_hears(model: Any, folder: Path, clips: list[Tensor]) -> None:
    """Greedily, with the same weights: two implementations that share nothing but the paper."""
    scores = FasterWhisperWer(model=str(folder), beam=0).score(parity.batch_of(clips))
    theirs = parity.first_pass(parity.transcriber(model), clips)
    sure = [index for index, one in enumerate(theirs) if not one.failed]
    assert len(sure) >= 3 and len({theirs[index].text for index in sure}) > 1
    for index in sure:
        assert scores.details[index]["heard"] == theirs[index].text
        assert scores.details[index]["asr_avg_logprob"] == pytest.approx(theirs[index].avg_logprob, abs=0.15)


def test_alone_in_any_batch_and_order_a_clip_scores_the_same(folder: Path, clips: list[Tensor]) -> None:
    metric = FasterWhisperWer(model=str(folder))
    together = metric.score(parity.batch_of(clips))
    turned = parity.batch_of(clips[::-1])
    padded = ClipBatch(torch.nn.functional.pad(turned.audio, (0, 9000)), turned.lengths, 16000, turned.info)
    assert metric.score(padded).details == together.details[::-1]
    for index, clip in enumerate(clips):
        alone = metric.score(parity.batch_of([clip]))
        assert alone.details[0] == together.details[index]
        assert [alone[column][0] for column in ("wer", "cer")] == [together[column][index] for column in ("wer", "cer")]
    assert len({one["heard"] for one in together.details}) > 2


def test_a_transcript_that_was_cut_is_flagged(
    folder: Path, clips: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = FasterWhisperWer(model=str(folder))
    whole = metric.score(parity.batch_of(clips)).details
    assert not any("length_limit" in one["asr_flags"] for one in whole)
    monkeypatch.setattr(whisper_heard, "TOKENS_PER_S", {"en": 0.1})
    monkeypatch.setattr(whisper_heard, "TOKENS_AT_ONCE", 2)
    cut = metric.score(parity.batch_of(clips)).details
    for one, other in zip(whole, cut, strict=True):
        if one["heard"] != other["heard"]:
            assert {"hallucination", "length_limit"} <= set(other["asr_flags"])
    assert [one["heard"] for one in whole] != [one["heard"] for one in cut]


def test_no_value_is_missing_without_a_reason(folder: Path, voice: Callable[..., Tensor]) -> None:
    broken = voice(0.5)
    broken[5] = torch.nan
    clips = [voice(1.0), torch.zeros(0), torch.zeros(16000), torch.full((1,), 0.5), broken]
    scores = FasterWhisperWer(model=str(folder)).score(parity.batch_of(clips))
    for index, reasons in enumerate(scores.reasons):
        assert {column for column in scores if math.isnan(scores[column][index])} == set(reasons)
    assert [index for index, reasons in enumerate(scores.reasons) if "wer" in reasons] == [1, 4]
    assert (scores["wer"][2], scores["wer"][3]) == (1.0, 1.0)
    json.dumps([scores.reasons, scores.details], allow_nan=False)


def test_a_long_clip_is_heard_in_windows(folder: Path, clips: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    from faster_whisper import WhisperModel

    asked: list[dict[str, Any]] = []
    transcribe = WhisperModel.transcribe

    def listen(self: Any, audio: Any, **options: Any) -> Any:
        asked.append(options)
        return transcribe(self, audio, **options)

    monkeypatch.setattr(WhisperModel, "transcribe", listen)
    metric = FasterWhisperWer(model=str(folder), beam=1)
    long = torch.cat([*clips, *clips, *clips, *clips])[: 31 * 16000]
    metric.score(parity.batch_of([clips[0], long]))
    assert [options["without_timestamps"] for options in asked] == [True, False]
    assert [options["max_new_tokens"] for options in asked] == [parity.expected_limit(clips[0], "en"), None]


def test_a_folder_without_a_tokenizer_is_refused_before_one_is_downloaded(folder: Path, tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "vocabulary.json"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        FasterWhisperWer(model=str(tmp_path)).score(parity.batch_of([torch.rand(8000)]))
    shutil.copy(folder / "tokenizer.json", tmp_path)
    (tmp_path / "model.bin").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="faster-whisper cannot load"):
        FasterWhisperWer(model=str(tmp_path)).score(parity.batch_of([torch.rand(8000)]))


def test_passport_and_options(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(FasterWhisperWer(), Metric)
    passport = FasterWhisperWer(model=str(folder)).passport()
    assert set(passport.weights_sha256) == {"config.json", "model.bin", "tokenizer.json", "vocabulary.json"}
    assert (passport.parameters["beam"], passport.parameters["dtype"]) == (5, "float32")
    assert {"faster-whisper", "ctranslate2"} <= set(passport.packages)
    json.dumps([dict(passport.parameters), dict(passport.packages)])
    assert FasterWhisperWer(model=str(folder), dtype="int8").passport() != passport
    with pytest.raises(ValueError, match="hears English only"):
        FasterWhisperWer(model="base.en", language="ta")
    with pytest.raises(ValueError, match="one of auto, float32"):
        FasterWhisperWer(dtype="float8")
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path))
    assert "evalkit fetch faster-whisper:base.en" in str(FasterWhisperWer.unavailable())
    assert FasterWhisperWer.unavailable(model=str(folder)) is None
