"""The bundled speaker encoder against resemblyzer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from parity_speaker import check_ge2e
from torch import Tensor

from metrics.base import ClipBatch, ClipInfo
from metrics.speaker_ge2e import Ge2eEncoder, embed, partial_starts
from metrics.speaker_reference import combine
from metrics.speaker_resemblyzer import ResemblyzerSimilarity
from metrics.speaker_speech import prepare

resemblyzer = pytest.importorskip("resemblyzer")

REAL_CLIPS = [
    "librispeech/1688/1688-142285-0002.flac",
    "librispeech/2033/2033-164914-0004.flac",
    "librispeech/3005/3005-163389-0004.flac",
    "librivox/sense-01-0880.flac",
]


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


@pytest.mark.parametrize("samples", [1, 8000, 25599, 25600, 30000, 31519, 31520, 31521, 47360, 100000, 987654])
def test_partials_are_those_of_resemblyzer(samples: int) -> None:
    _, slices = resemblyzer.VoiceEncoder.compute_partial_slices(samples, rate=1.3, min_coverage=0.75)
    assert partial_starts(samples) == [part.start for part in slices]


def test_embeddings_of_real_clips_equal_resemblyzer(real_clip: Callable[[str], Tensor]) -> None:
    clips = [real_clip(name) for name in REAL_CLIPS]
    check_ge2e(clips)
    speech = [prepare(clip) for clip in clips]
    centroid = combine(embed(Ge2eEncoder.pretrained(), speech)).centroid
    judge = resemblyzer.VoiceEncoder("cpu", verbose=False)
    np.testing.assert_allclose(centroid, judge.embed_speaker([clip.numpy() for clip in speech]), atol=1e-5)


def test_embeddings_of_a_synthetic_voice_equal_resemblyzer(voice: Callable[..., Tensor]) -> None:
    check_ge2e([voice(0.6), 0.01 * voice(1.97, seed=1), voice(4.1, seed=2, pitch=190)])


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


def test_noise_without_speech_is_refused(
    voice: Callable[..., Tensor], batch_of: Callable[..., ClipBatch], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "speaker.wav", voice(1.0).numpy(), 16000)
    hiss = 1e-3 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    scores = ResemblyzerSimilarity().score(batch_of([hiss], reference=[tmp_path / "speaker.wav"]))
    assert "s of speech; at least 0.5 s" in scores.reasons[0]["speaker_similarity"]
