"""The Whisper metric: its columns, its files, its options and its passport."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("whisper")

import parity_whisper as parity

from metrics import whisper_decode, whisper_model
from metrics.base import ClipBatch, ClipInfo, Metric
from metrics.packages import sha256
from metrics.weights import JudgeWeights
from metrics.wer_whisper import WhisperWer
from metrics.whisper_model import LANGUAGES, choose_model, load_model

Readings = Callable[[int], tuple[list[Tensor], list[ClipInfo]]]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def english() -> Any:
    return parity.tiny_model()


@pytest.fixture(scope="module")
def english_file(english: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.save(english, tmp_path_factory.mktemp("whisper") / "tiny.en-of-mine.pt")


@pytest.fixture(scope="module")
def multilingual_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.save(parity.tiny_model(english=False), tmp_path_factory.mktemp("whisper") / "all.pt")


def test_alone_in_any_batch_and_order_a_clip_scores_the_same(
    english_file: Path, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_decode, "TEMPERATURES", (0.0, 0.6))
    details = parity.check_batches(english_file, readings(40)[0][:20:5])
    assert {"fallback" in one["asr_flags"] for one in details} == {True, False}
    assert len({one["heard"] for one in details}) == 4


def test_what_is_heard_is_compared_with_the_text(english: Any, english_file: Path, readings: Readings) -> None:
    clip = readings(1)[0][0]
    (expected,) = parity.transcriber(english).hear([clip])
    assert len(expected.text.split()) > 1
    infos = [ClipInfo("same", text=expected.text), ClipInfo("other", text=f"{expected.text} zebra")]
    scores = WhisperWer(model=str(english_file)).score(ClipBatch.of([clip, clip], 16000, infos))
    assert scores["wer"][0] == scores["cer"][0] == 0 < scores["wer"][1] < 1
    assert scores.details[0]["heard"] == expected.text
    assert scores.details[0]["asr_avg_logprob"] == pytest.approx(expected.evidence.avg_logprob, abs=1e-4)
    assert scores.details[1]["wer_errors"] == 1


def test_no_value_is_missing_without_a_reason(english_file: Path, voice: Callable[..., Tensor]) -> None:
    speech = voice(1.0)
    broken = speech.clone()
    broken[5] = torch.inf
    clips = [speech, torch.zeros(0), torch.zeros(16000), torch.full((1,), 0.5), broken, voice(0.02), speech, speech]
    infos = [ClipInfo(str(index), text=parity.TEXT) for index in range(len(clips))]
    infos[6:] = [ClipInfo("no text"), ClipInfo("no words", text="...")]
    metric = WhisperWer(model=str(english_file))
    scores = metric.score(ClipBatch.of(clips, 16000, infos))
    for index, reasons in enumerate(scores.reasons):
        assert {column for column in scores if math.isnan(scores[column][index])} == set(reasons)
    assert [index for index, reasons in enumerate(scores.reasons) if "wer" in reasons] == [1, 4, 6, 7]
    assert (scores["wer"][2], scores.details[2]["heard"], scores.details[2]["asr_flags"]) == (1.0, "", [])
    assert (scores["wer"][3], scores.details[3]["asr_flags"]) == (1.0, ["no_speech"])  # shorter than a frame
    json.dumps([scores.reasons, scores.details], allow_nan=False)
    assert metric.score(ClipBatch.of([], 16000, []))["wer"] == []
    with pytest.raises(ValueError, match="16000 Hz and got 24000 Hz"):
        metric.score(ClipBatch.of([speech], 24000, infos[:1]))


def test_silence_loads_no_model() -> None:
    metric = WhisperWer(model="no/such/model.pt")
    silent = ClipBatch.of([torch.zeros(16000)], 16000, [ClipInfo("silent", text="hello")])
    assert metric.score(silent)["wer"] == [1.0]


@pytest.mark.parametrize("beam", [0, 3])
def test_probabilities_that_are_not_numbers_give_no_transcript(
    english: Any, tmp_path: Path, voice: Callable[..., Tensor], beam: int
) -> None:
    file = parity.save(english, tmp_path / "nan.pt")
    stored = torch.load(file, weights_only=True)
    stored["model_state_dict"] = {**stored["model_state_dict"], "decoder.ln.bias": torch.full((64,), torch.nan)}
    torch.save(stored, file)
    scores = WhisperWer(model=str(file), beam=beam).score(parity.batch_of([voice(0.3)]))
    assert math.isnan(scores["wer"][0]) and "not numbers" in scores.reasons[0]["wer"]


def broken_files(english: Any) -> dict[str, Any]:
    state, dims = english.state_dict(), vars(english.dims)
    renamed = {name.replace("ln_post", "ln_last"): weight for name, weight in state.items()}
    less = {name: weight for name, weight in state.items() if name != "decoder.ln.bias"}
    return {
        "missing": {"dims": dims, "model_state_dict": less},
        "extra": {"dims": dims, "model_state_dict": state | {"decoder.more": torch.zeros(1)}},
        "renamed": {"dims": dims, "model_state_dict": renamed},
        "other_shape": {"dims": dims | {"n_text_layer": 3}, "model_state_dict": state},
        "no_dims": {"model_state_dict": state},
        "unknown_dim": {"dims": dims | {"n_more": 1}, "model_state_dict": state},
        "list": [1, 2],
        "object": {"dims": dims, "model_state_dict": state, "more": Path("x")},  # pickled code
    }


BROKEN = ("missing", "extra", "renamed", "other_shape", "no_dims", "unknown_dim", "list", "object")


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_not_openai_whispers_is_refused(name: str, english: Any, tmp_path: Path) -> None:
    torch.save(broken_files(english)[name], tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt is not a checkpoint of openai-whisper") as error:
        load_model(tmp_path / "model.pt", CPU, torch.float32)
    assert name != "object" or "PosixPath" in str(error.value)


def test_a_file_of_other_bytes_and_a_model_of_other_sizes_are_refused(tmp_path: Path) -> None:
    from whisper.model import ModelDimensions, Whisper

    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ValueError, match="not a checkpoint of openai-whisper"):
        load_model(tmp_path / "text.pt", CPU, torch.float32)
    parity.save(Whisper(ModelDimensions(80, 100, 8, 2, 1, 51864, 448, 8, 2, 1)), tmp_path / "short.pt")
    with pytest.raises(ValueError, match="80 mels, 100 frames and 448 tokens"):
        load_model(tmp_path / "short.pt", CPU, torch.float32)


def test_what_is_stored_is_what_is_loaded(english: Any, english_file: Path) -> None:
    loaded = load_model(english_file, CPU, torch.float32).state_dict()
    stored = english.state_dict()
    assert loaded.keys() == stored.keys() and all(torch.equal(loaded[name], stored[name]) for name in stored)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"language": "klingon"}, "no language of that code"),
        ({"language": "hi", "model": "base.en"}, "hears English only"),
        ({"beam": 11}, "from 0 to 10"),
        ({"beam": -1}, "from 0 to 10"),
        ({"dtype": "float64"}, "one of auto, float32"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WhisperWer(**options)


def test_a_model_is_not_asked_for_a_language_that_it_does_not_know(
    english_file: Path, multilingual_file: Path, voice: Callable[..., Tensor]
) -> None:
    batch = parity.batch_of([voice(1.0)])
    with pytest.raises(ValueError, match="hears English only"):
        WhisperWer(model=str(english_file), language="hi").score(batch)
    with pytest.raises(ValueError, match="hears 99 languages: give one that knows language=yue"):
        WhisperWer(model=str(multilingual_file), language="yue").score(batch)


def test_language_and_beam_reach_the_decoder(multilingual_file: Path, readings: Readings) -> None:
    batch = parity.batch_of(readings(3)[0])
    heard = {
        (language, beam): [
            one["heard"]
            for one in WhisperWer(model=str(multilingual_file), language=language, beam=beam).score(batch).details
        ]
        for language, beam in (("en", 1), ("en", 4), ("hi", 0))
    }
    assert heard["en", 1] != heard["en", 4] and heard["en", 1] != heard["hi", 0]


def test_languages_are_those_of_the_package() -> None:
    from whisper.tokenizer import LANGUAGES as THEIRS

    assert list(LANGUAGES) == list(THEIRS)


@pytest.mark.parametrize(
    ("device", "language", "on_disk", "chosen"),
    [
        ("cpu", "en", {"base.en", "large-v3-turbo"}, "base.en"),
        ("cuda", "en", {"base.en", "large-v3-turbo"}, "large-v3-turbo"),
        ("cuda", "en", {"base.en"}, "base.en"),
        ("cpu", "hi", {"large-v3-turbo"}, "large-v3-turbo"),
        ("cpu", "hi", set(), "base"),
        ("cuda", "ta", set(), "large-v3-turbo"),
    ],
)
def test_auto_chooses_by_device_language_and_disk(
    monkeypatch: pytest.MonkeyPatch, device: str, language: str, on_disk: set[str], chosen: str
) -> None:
    monkeypatch.setattr(whisper_model, "find", lambda kind, name: name if name in on_disk else None)
    assert choose_model("auto", torch.device(device), language) == chosen
    assert choose_model("small", torch.device(device), language) == "small"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, english_file: Path) -> None:
    monkeypatch.setenv("EVALKIT_JUDGES", str(tmp_path))
    assert "evalkit fetch whisper:base.en" in str(WhisperWer.unavailable())
    assert "evalkit fetch whisper:base" in str(WhisperWer.unavailable(language="hi"))
    assert "evalkit fetch whisper:small.en" in str(WhisperWer.unavailable(model="small.en"))
    assert "tiny.en" in str(WhisperWer.unavailable(model="tinny.en"))
    assert WhisperWer.unavailable(model=str(english_file)) is None
    with pytest.raises(ValueError, match="evalkit fetch"):
        WhisperWer().score(parity.batch_of([torch.rand(16000)]))


def test_passport(english_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(WhisperWer(), Metric)
    passport = WhisperWer(model=str(english_file), beam=3).passport()
    assert passport.judge.startswith("tiny.en-of-mine.pt@") and str(english_file.parent) not in passport.judge
    assert dict(passport.weights_sha256) == {"tiny.en-of-mine.pt": sha256(english_file)}
    assert (passport.parameters["beam"], passport.parameters["language"]) == (3, "en")
    assert passport.parameters["dtype"] == "float32"
    json.dumps([dict(passport.parameters), dict(passport.packages)])
    others = [{"beam": 0}, {"language": "hi"}, {"dtype": "bfloat16"}]
    assert all(WhisperWer(model=str(english_file), **({"beam": 3} | other)).passport() != passport for other in others)
    weights = JudgeWeights("whisper:large-v3-turbo", english_file, {"large-v3-turbo.pt": "0" * 64})
    monkeypatch.setattr("metrics.wer_whisper.require", lambda kind, name: weights)
    monkeypatch.setattr(whisper_model, "find", lambda kind, name: weights)
    on_cuda = WhisperWer(device="cuda").passport()
    assert (on_cuda.judge, on_cuda.parameters["dtype"]) == ("whisper:large-v3-turbo", "float16")
