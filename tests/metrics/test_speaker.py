"""The speaker encoder against resemblyzer, and what counts as a reference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.nn.functional import normalize

from metrics.base import ClipBatch, ClipInfo
from metrics.speaker_ge2e import Ge2eEncoder, embed, partial_starts
from metrics.speaker_reference import check_reference, combine, reference_speech
from metrics.speaker_resemblyzer import ResemblyzerSimilarity
from metrics.speaker_speech import prepare

resemblyzer = pytest.importorskip("resemblyzer")

REAL_CLIPS = [
    "librispeech/1688/1688-142285-0002.flac",
    "librispeech/2033/2033-164914-0004.flac",
    "librispeech/3005/3005-163389-0004.flac",
    "librivox/sense-01-0880.flac",
]


@pytest.fixture(scope="module")
def encoder() -> Ge2eEncoder:
    return Ge2eEncoder.pretrained()


def test_preparation_equals_resemblyzer(voice: Callable[..., Tensor]) -> None:
    pause = 1e-4 * torch.randn(24000, generator=torch.Generator().manual_seed(0))
    speech = voice(1.5)
    click = 0.002 * voice(2.0)
    click[5000] = 0.9  # lifted beyond full scale by the gain
    for clip in (speech, torch.cat([pause, speech, pause, speech, pause]), 0.01 * speech, click, voice(0.04), pause):
        theirs = resemblyzer.preprocess_wav(clip.numpy())
        np.testing.assert_allclose(prepare(clip), theirs, atol=1e-6)
    assert len(prepare(torch.cat([speech, pause, speech]))) < 2 * len(speech) + len(pause)
    assert len(prepare(torch.rand(479))) == 0


def test_preparation_of_real_clips_equals_resemblyzer(real_clip: Callable[[str], Tensor]) -> None:
    for name in REAL_CLIPS:
        clip = real_clip(name)
        np.testing.assert_allclose(prepare(clip), resemblyzer.preprocess_wav(clip.numpy()), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 8000, 25599, 25600, 30000, 31519, 31520, 31521, 47360, 100000, 987654])
def test_partials_are_those_of_resemblyzer(samples: int) -> None:
    _, slices = resemblyzer.VoiceEncoder.compute_partial_slices(samples, rate=1.3, min_coverage=0.75)
    assert partial_starts(samples) == [part.start for part in slices]


def test_embeddings_equal_resemblyzer(encoder: Ge2eEncoder, real_clip: Callable[[str], Tensor]) -> None:
    speech = [prepare(real_clip(name)) for name in REAL_CLIPS]
    ours = embed(encoder, speech)
    judge = resemblyzer.VoiceEncoder("cpu", verbose=False)
    for own, clip in zip(ours, speech, strict=True):
        np.testing.assert_allclose(own, judge.embed_utterance(clip.numpy()), atol=1e-5)
    np.testing.assert_allclose(
        combine(ours).centroid, judge.embed_speaker([clip.numpy() for clip in speech]), atol=1e-5
    )


def test_embeddings_of_a_synthetic_voice_equal_resemblyzer(encoder: Ge2eEncoder, voice: Callable[..., Tensor]) -> None:
    speech = [voice(0.6), voice(1.97, seed=1), voice(4.1, seed=2, pitch=190)]
    judge = resemblyzer.VoiceEncoder("cpu", verbose=False)
    for own, clip in zip(embed(encoder, speech), speech, strict=True):
        np.testing.assert_allclose(own, judge.embed_utterance(clip.numpy()), atol=1e-5)


def test_tells_speakers_apart(real_audio: Path, real_clip: Callable[[str], Tensor]) -> None:
    """Each clip is closest to the reference made of the other clips of its own speaker."""
    speakers = ("1688", "2414", "3005")
    files = {speaker: sorted((real_audio / "librispeech" / speaker).glob("*.flac")) for speaker in speakers}
    metric = ResemblyzerSimilarity()
    clip = {speaker: real_clip(str(paths[-1].relative_to(real_audio))) for speaker, paths in files.items()}
    pairs = [(heard, reference) for heard in speakers for reference in speakers]
    infos = [ClipInfo(f"{heard} {reference}", reference=tuple(files[reference][2:4])) for heard, reference in pairs]
    scores = metric.score(ClipBatch.of([clip[heard] for heard, _ in pairs], 16000, infos))
    cosine = dict(zip(pairs, scores["speaker_cosine"], strict=True))
    for heard in speakers:
        assert max(speakers, key=lambda reference: cosine[heard, reference]) == heard
        assert cosine[heard, heard] > 0.7
    for value, similarity in zip(scores["speaker_cosine"], scores["speaker_similarity"], strict=True):
        assert similarity == pytest.approx((value + 1) / 2)


def test_the_ceiling_is_the_mean_cosine_with_the_others() -> None:
    embeddings = normalize(torch.rand(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    expected = []
    for left_out in range(4):
        rest = torch.cat([embeddings[:left_out], embeddings[left_out + 1 :]]).mean(dim=0)
        expected.append(torch.cosine_similarity(embeddings[left_out], rest, dim=0).item())
    reference = combine(embeddings)
    assert reference.ceiling == pytest.approx(np.mean(expected), abs=1e-6)
    assert reference.clips == 4
    assert combine(embeddings[:1]).ceiling is None
    assert torch.allclose(combine(embeddings[:1]).centroid, embeddings[0])


@pytest.fixture
def recordings(voice: Callable[..., Tensor], tmp_path: Path) -> list[Path]:
    for seed in range(2):
        soundfile.write(tmp_path / f"speaker{seed}.flac", voice(2.0, seed=seed).numpy(), 16000)
    return sorted(tmp_path.iterdir())


def test_a_clip_of_its_own_reference_has_cosine_1(recordings: list[Path], batch_of: Callable[..., ClipBatch]) -> None:
    samples, _ = soundfile.read(recordings[0], dtype="float32")
    scores = ResemblyzerSimilarity().score(batch_of([torch.from_numpy(samples)], reference=recordings[:1]))
    assert scores["speaker_cosine"][0] == pytest.approx(1, abs=1e-5)
    assert scores.details == [{"reference_clips": 1}]


def test_references_are_embedded_once_per_content(
    recordings: list[Path], voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    copy = recordings[0].with_name("copy.flac")
    shutil.copy(recordings[0], copy)
    metric = ResemblyzerSimilarity()
    first = metric.score(batch_of([voice(1.0)], reference=recordings))
    with_copy = metric.score(batch_of([voice(1.0)], reference=[*recordings, copy]))
    assert with_copy.details == first.details
    assert first.details[0]["reference_clips"] == 2
    soundfile.write(recordings[1], voice(2.0, pitch=200, seed=9).numpy(), 16000)
    changed = metric.score(batch_of([voice(1.0)], reference=recordings))
    assert changed["speaker_cosine"] != first["speaker_cosine"]


def test_references_of_other_rates_and_channels(recordings: list[Path], voice: Callable[..., Tensor]) -> None:
    stereo = recordings[0].with_name("stereo.wav")
    samples = voice(2.0, sample_rate=44100).numpy()
    soundfile.write(stereo, np.stack([samples, samples], axis=1), 44100)
    assert len(reference_speech(stereo)) == pytest.approx(32000, abs=960)


def test_a_reference_that_cannot_be_used_is_named(
    tmp_path: Path, voice: Callable[..., Tensor], recordings: list[Path], batch_of: Callable[..., ClipBatch]
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
    check_reference(recordings)
    for name, words in expected.items():
        paths = [*recordings, tmp_path / name]
        with pytest.raises(ValueError, match=rf"{name}.*{words}"):
            check_reference(paths)
        with pytest.raises(ValueError, match=rf"{name}.*{words}"):
            ResemblyzerSimilarity().score(batch_of([voice(1.0)], reference=paths))
    with pytest.raises(ValueError, match="no reference clip"):
        check_reference([])


def test_a_clip_without_reference_or_speech_has_a_reason(
    recordings: list[Path], voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch]
) -> None:
    scores = ResemblyzerSimilarity().score(batch_of([voice(1.0)]))
    assert scores.reasons[0]["speaker_cosine"] == "no reference clip of the speaker was given"
    hiss = 1e-3 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    scores = ResemblyzerSimilarity().score(batch_of([hiss, voice(0.3)], reference=recordings))
    assert all("s of speech; at least 0.5 s" in reasons["speaker_similarity"] for reasons in scores.reasons)
