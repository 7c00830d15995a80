"""The wav2vec2 judge: small random weights of the real class, held to transformers and to torch's ctc_loss."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import parity_pronunciation as parity
import pytest
import torch

import metrics.pronunciation_ctc as ctc
from metrics.base import ClipBatch, ClipInfo, Entity, Metric
from metrics.pronunciation_judge import Failure, Judgement, Part
from metrics.pronunciation_wav2vec2 import Wav2Vec2Pronunciation, calibration_file
from metrics.pronunciation_wav2vec2_judge import Wav2Vec2Judge
from metrics.pronunciation_wav2vec2_model import Wav2Vec2Phones
from metrics.weights import require

pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=["layer", "group"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.small_model(tmp_path_factory.mktemp("judges") / request.param, request.param)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parity.small_model(tmp_path_factory.mktemp("judges") / "small", "layer")


def test_emissions_in_a_batch_are_transformers_own_one_by_one(folder: Path) -> None:
    parity.check_emissions(folder)


def test_likelihoods_are_torchs_one_reading_at_a_time(folder: Path) -> None:
    parity.check_likelihoods(folder)


def test_alone_and_in_any_padding_the_scores_are_the_same(folder: Path) -> None:
    parity.check_alone(Wav2Vec2Pronunciation(model=str(folder)))


def test_decisions_on_sounds_made_by_hand() -> None:
    parity.check_made_sounds()


def test_alignment_is_torchaudios() -> None:
    parity.check_alignment()


def test_likelihoods_do_not_depend_on_how_many_fit_into_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    log_probs = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(0)).log_softmax(dim=-1)
    lengths, clips = torch.tensor([20, 13]), [0, 1, 1, 0, 1]
    targets = [[1, 2], [3], [4, 4, 5], [2, 1, 2, 1], [1] * 8]
    whole = ctc.log_likelihoods(log_probs, lengths, clips, targets, 0)
    assert whole[-1] == -math.inf, "eight equal phones need fifteen frames"
    monkeypatch.setattr(ctc, "MOST_ELEMENTS", 1)
    assert torch.allclose(ctc.log_likelihoods(log_probs, lengths, clips, targets, 0), whole)
    assert ctc.log_likelihoods(log_probs, lengths, [], [], 0).tolist() == ctc.align(log_probs, lengths, [], [], 0) == []


def test_two_names_are_compared_with_each_other_settled() -> None:
    """ "idli idli", the first said wrong and the second right."""
    log_probs = parity.heard("aɪ aɪ _ d l iː _ _ ɪ ɪ _ d l iː iː _")
    entities = (parity.IDLI,)
    info = ClipInfo("made", text="Idli, idli!", entities=entities)
    scores = parity.MadeJudge(log_probs).score(ClipBatch.of([torch.ones(16000)], 16000, [info]))
    decisions = scores.details[0]["entities"]
    assert [decision["right"] for decision in decisions] == [False, True]
    assert [decision["heard"] for decision in decisions] == ["aɪdliː", "ɪdliː"]
    assert [decision["best"] for decision in decisions] == ["AY0 D L IY0", "IH1 D L IY0"]
    assert scores["pronunciation_accuracy"] == [0.5]
    assert all(abs(decision["margin"]) > 0.5 for decision in decisions)


def test_an_r_that_is_one_symbol_with_its_vowel_counts() -> None:
    sharma = Entity("Sharma", ("SH AA1 R M AH0",), ("SH AE1 R M AH0",))
    info = ClipInfo("made", text="Sharma", entities=(sharma,))
    for spelled in ("ʃ ʃ ɑːɹ ɑːɹ m ə ə", "ʃ ʃ ɑː ɾ m ə ə", "ʂ ʂ aː r m ʌ ʌ"):
        judge = parity.MadeJudge(parity.heard(spelled))
        scores = judge.score(ClipBatch.of([torch.ones(16000)], 16000, [info]))
        assert scores["pronunciation_accuracy"] == [1.0], spelled
        assert scores["pronunciation_margin"][0] > 0.1, spelled


def test_a_possessive_is_part_of_the_name() -> None:
    info = ClipInfo("made", text="Idli's", entities=(parity.IDLI,))
    log_probs = parity.heard("ɪ d l iː z z")
    scores = parity.MadeJudge(log_probs).score(ClipBatch.of([torch.ones(16000)], 16000, [info]))
    assert scores["pronunciation_accuracy"] == [1.0] and scores.details[0]["entities"][0]["heard"] == "ɪdliːz"


def test_too_short_clips_unknown_words_and_silence_say_why(small: Path) -> None:
    metric = Wav2Vec2Pronunciation(model=str(small))
    noise = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    known = ClipInfo("a", text="We met Idli there.", entities=(parity.IDLI,))
    unknown = ClipInfo("b", text="xyzzyx met Idli.", entities=(parity.IDLI,))
    clips = [noise[:300], noise[:2000], torch.zeros(16000), noise, noise, torch.zeros(0)]
    scores = metric.score(ClipBatch.of(clips, 16000, [known, known, known, unknown, known, known]))
    assert scores["pronunciation_accuracy"][:3] == [0.0] * 3
    assert "does not align" in scores.reasons[0]["pronunciation_margin"], "shorter than a frame"
    assert "does not align" in scores.reasons[1]["pronunciation_margin"], "fewer frames than phones"
    assert "silent" in scores.reasons[2]["pronunciation_gop"]
    assert "no pronunciation for 'xyzzyx'" in scores.reasons[3]["pronunciation_accuracy"]
    assert not scores.reasons[4] and all(math.isfinite(scores[column][4]) for column in scores)
    assert "no samples" in scores.reasons[5]["pronunciation_accuracy"]
    assert metric.score(ClipBatch.of([], 16000, [])) == {column.name: [] for column in metric.spec.columns}
    json.dumps([scores.details, scores.reasons])


def test_a_reading_too_long_for_the_clip_does_not_make_the_margin_infinite() -> None:
    judge = Wav2Vec2Judge(parity.MadePhones(parity.heard("ɪ d l iː")), {})  # type: ignore[arg-type]
    part = Part("idli", ("IH1 D L IY0",), ("AY0 D AH0 L AH0 L IY0",))
    (answer,) = judge.score_variants([torch.ones(16000)], [[part]])
    assert isinstance(answer, Judgement) and answer.names
    assert answer.names[0].margin(part) == pytest.approx(690 / 8)
    (answer,) = judge.score_variants([torch.ones(16000)], [[Part("who")]])
    assert isinstance(answer, Failure)


def test_the_passport_names_the_weights_and_that_nothing_was_measured(small: Path) -> None:
    metric = Wav2Vec2Pronunciation(model=str(small), variants="generated")
    assert isinstance(metric, Metric)
    passport = metric.passport()
    assert passport == Wav2Vec2Pronunciation(model=str(small), variants="generated").passport()
    assert set(passport.weights_sha256) >= {"config.json", "vocab.json", "model.safetensors"}
    assert passport.accuracy == {"measured": "not yet: run evalkit calibrate pronunciation.wav2vec2"}
    assert passport.parameters["threshold"] == 0 and passport.parameters["lowest_fit"] is None
    assert str(small.parent) not in json.dumps([dict(passport.parameters), passport.judge])


def test_a_calibration_of_other_weights_is_not_used(small: Path) -> None:
    file = calibration_file(require("wav2vec2", str(small)))
    file.write_text(json.dumps({"weights_sha256": {"model.safetensors": "0" * 64}, "variants": {}}))
    assert Wav2Vec2Pronunciation(model=str(small)).calibration.threshold == 0
    file.write_text("[]")
    with pytest.raises(ValueError, match="is damaged"):
        Wav2Vec2Pronunciation(model=str(small)).passport()
    file.unlink()


def damaged(folder: Path, change: Mapping[str, Any]) -> Path:
    for name, content in change.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab.json": None}, "has no vocab.json"),
        ({"vocab.json": "{"}, "is not JSON"),
        ({"vocab.json": ["a"]}, "is not a JSON object"),
        ({"vocab.json": {"<pad>": 1}}, "no symbol for AA"),
        ({"vocab.json": {"a": 1000}}, "do not belong together"),
        ({"config.json": None}, "has no config.json"),
        ({"config.json": {"model_type": "hubert"}}, "not of a wav2vec2 model"),
        ({"model.safetensors": None}, "neither model.safetensors nor pytorch_model.bin"),
        ({"model.safetensors": "no tensors"}, "cannot be loaded"),
        ({"preprocessor_config.json": {"sampling_rate": 8000}}, "audio at 8000 Hz"),
    ],
)
def test_a_damaged_model_is_one_sentence(tmp_path: Path, small: Path, change: dict[str, Any], message: str) -> None:
    copy = tmp_path / "model"
    subprocess.run(["cp", "-r", str(small), str(copy)], check=True)
    metric = Wav2Vec2Pronunciation(model=str(damaged(copy, change)))
    with pytest.raises(ValueError, match=message):
        _ = metric.judge


def test_tensors_that_are_missing_are_an_error_not_random(tmp_path: Path, small: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "model"
    subprocess.run(["cp", "-r", str(small), str(copy)], check=True)
    tensors = load_file(copy / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing keys: lm_head\.weight"):
        Wav2Vec2Phones(copy, "cpu")


def test_a_pickle_of_tensors_is_read_and_any_other_refused(tmp_path: Path, small: Path) -> None:
    from safetensors.torch import load_file

    copy = tmp_path / "model"
    subprocess.run(["cp", "-r", str(small), str(copy)], check=True)
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    clip = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    one, other = (Wav2Vec2Phones(path, "cpu").emissions([clip]).log_probs for path in (small, copy))
    assert torch.equal(one, other)
    torch.save({**tensors, "extra": Path("x")}, copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be loaded"):
        Wav2Vec2Phones(copy, "cpu")


def test_what_is_missing_is_said_cheaply(tmp_path: Path) -> None:
    missing = Wav2Vec2Pronunciation.unavailable(model=str(tmp_path / "none"))
    assert missing is not None and missing.startswith("needs the model")
    code = (
        "import sys; from metrics.pronunciation_wav2vec2 import Wav2Vec2Pronunciation as W; W.unavailable(); W();"
        "print({'transformers', 'panphon', 'pocketsphinx', 'scipy', 'soundfile'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
