"""What counts as a reference speaker, for every judge of speaker similarity."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from parity_speaker import save_model
from torch import Tensor
from torch.nn.functional import normalize

from metrics.base import ClipBatch
from metrics.speaker_reference import combine, reference_speech
from metrics.speaker_resemblyzer import ResemblyzerSimilarity
from metrics.speaker_similarity import SpeakerSimilarity
from metrics.speaker_wespeaker import WespeakerSimilarity

Judge = Callable[[], SpeakerSimilarity]


@pytest.fixture(scope="module", params=["resemblyzer", "wespeaker"])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    pytest.importorskip("yaml" if request.param == "wespeaker" else "resemblyzer")
    if request.param == "resemblyzer":
        return ResemblyzerSimilarity
    folder = tmp_path_factory.mktemp("judge") / "random"
    save_model(folder)
    return partial(WespeakerSimilarity, model=str(folder))


@pytest.fixture
def recordings(voice: Callable[..., Tensor], tmp_path: Path) -> list[Path]:
    for seed in range(2):
        soundfile.write(tmp_path / f"speaker{seed}.flac", voice(2.0, seed=seed).numpy(), 16000)
    return sorted(tmp_path.iterdir())


def test_agreement_is_each_clips_cosine_with_the_others() -> None:
    embeddings = normalize(torch.rand(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    expected = []
    for left_out in range(4):
        rest = torch.cat([embeddings[:left_out], embeddings[left_out + 1 :]]).mean(dim=0)
        expected.append(torch.cosine_similarity(embeddings[left_out], rest, dim=0).item())
    reference = combine(embeddings)
    np.testing.assert_allclose(reference.agreement, expected, atol=1e-6)
    details = reference.details()
    assert details["reference_clips"] == 4
    assert details["reference_ceiling"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert details["reference_range"] == pytest.approx([min(expected), max(expected)], abs=1e-6)
    assert combine(embeddings[:1]).details() == {"reference_clips": 1}
    assert torch.allclose(combine(embeddings[:1]).centroid, embeddings[0])


def test_a_clip_of_its_own_reference_has_cosine_1(
    judge: Judge, recordings: list[Path], batch_of: Callable[..., ClipBatch]
) -> None:
    samples, _ = soundfile.read(recordings[0], dtype="float32")
    scores = judge().score(batch_of([torch.from_numpy(samples)], reference=recordings[:1]))
    assert scores["speaker_cosine"][0] == pytest.approx(1, abs=1e-5)
    assert scores.details == [{"reference_clips": 1}]


def test_references_are_embedded_once_per_content(
    judge: Judge, recordings: list[Path], voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    copy = recordings[0].with_name("copy.flac")
    shutil.copy(recordings[0], copy)
    metric = judge()
    first = metric.score(batch_of([voice(1.0)], reference=recordings))
    with_copy = metric.score(batch_of([voice(1.0)], reference=[*recordings, copy]))
    assert with_copy.details == first.details
    assert first.details[0]["reference_clips"] == 2
    assert first.details[0]["reference_range"] == pytest.approx([first.details[0]["reference_ceiling"]] * 2)
    soundfile.write(recordings[1], voice(2.0, pitch=200, seed=9).numpy(), 16000)
    changed = metric.score(batch_of([voice(1.0)], reference=recordings))
    assert changed["speaker_cosine"] != first["speaker_cosine"]


def test_references_of_other_rates_and_channels(tmp_path: Path, voice: Callable[..., Tensor]) -> None:
    stereo = tmp_path / "stereo.wav"
    samples = voice(2.0, sample_rate=44100).numpy()
    soundfile.write(stereo, np.stack([samples, samples], axis=1), 44100)
    assert len(reference_speech(stereo, lambda clip: clip)) == 32000


def test_a_reference_that_cannot_be_used_is_named(
    judge: Judge,
    tmp_path: Path,
    voice: Callable[..., Tensor],
    recordings: list[Path],
    batch_of: Callable[..., ClipBatch],
) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(32000), 16000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "short.wav", voice(0.3).numpy(), 16000)
    (tmp_path / "text.wav").write_text("not audio")
    expected = {
        "silent.wav": "is silent",
        "empty.wav": "has no samples",
        "short.wav": "of speech; at least 0.5 s are needed",
        "text.wav": "cannot be read",
        "absent.wav": "cannot be read",
    }
    metric = judge()
    metric.check_reference(recordings)
    for name, words in expected.items():
        paths = [*recordings, tmp_path / name]
        with pytest.raises(ValueError, match=rf"{name}.*{words}"):
            metric.check_reference(paths)
        with pytest.raises(ValueError, match=rf"{name}.*{words}"):
            metric.score(batch_of([voice(1.0)], reference=paths))
    with pytest.raises(ValueError, match="no reference clip"):
        metric.check_reference([])


def test_a_clip_without_reference_or_speech_has_a_reason(
    judge: Judge, recordings: list[Path], voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    scores = judge().score(batch_of([voice(1.0)]))
    assert scores.reasons[0]["speaker_cosine"] == "no reference clip of the speaker was given"
    scores = judge().score(batch_of([torch.zeros(16000), voice(0.3), torch.zeros(0)], reference=recordings))
    for reasons, words in zip(scores.reasons, ("is silent", "s of speech; at least 0.5 s", "no samples"), strict=True):
        assert words in reasons["speaker_similarity"]
        assert words in reasons["speaker_cosine"]


def test_an_embedding_that_is_not_finite_is_no_similarity(
    judge: Judge,
    recordings: list[Path],
    voice: Callable[..., Tensor],
    batch_of: Callable[..., ClipBatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metric = judge()
    monkeypatch.setattr(metric, "_embed", lambda speech: torch.full((len(speech), 3), torch.nan))
    scores = metric.score(batch_of([voice(1.0)], reference=recordings))
    assert "not finite" in scores.reasons[0]["speaker_similarity"]
    assert np.isnan(scores["speaker_similarity"][0])
