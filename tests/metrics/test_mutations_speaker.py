"""Deliberate errors in the judges of speaker similarity: the parity checks must notice each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from parity_speaker import check_fbank, check_ge2e, check_similarity, check_wespeaker, resemblyzer_embedding
from torch import Tensor

from metrics import (
    fbank,
    mel,
    resnet_speaker,
    speaker_encoders,
    speaker_ge2e,
    speaker_reference,
    speaker_resemblyzer,
    speaker_similarity,
    speaker_speech,
)
from metrics.resnet_speaker import SpeakerResNet
from metrics.speaker_resemblyzer import ResemblyzerSimilarity

pytest.importorskip("torchaudio")
pytest.importorskip("resemblyzer")

Patch = Callable[[pytest.MonkeyPatch], None]


def replace(owner: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, value)


def wrap(owner: Any, name: str, change: Callable[..., Any]) -> Patch:
    """Pass what a function returns through `change`."""
    real = getattr(owner, name)
    return replace(owner, name, lambda *args, **kwargs: change(real(*args, **kwargs)))


def without_mask(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """As if no frame were padding."""
    return lambda *args: real(*args[:-1], torch.full_like(args[-1], args[-2].shape[1]))


def biased(x: Tensor, real: Tensor) -> Tensor:
    count = real.sum(dim=3)
    mean = x.sum(dim=3) / count
    variance = ((x - mean[..., None]) * real).square().sum(dim=3) / count
    return torch.cat([mean.flatten(1), (variance + 1e-7).sqrt().flatten(1)], dim=1)


WINDOW_AND_MELS: dict[str, Patch] = {
    "povey window": replace(fbank, "_window", lambda: torch.hann_window(400, periodic=False) ** 0.85),
    "periodic window": replace(fbank, "_window", lambda: torch.hamming_window(400)),
    "mel off by one": wrap(fbank, "_mel_filters", lambda filters: filters.roll(1, dims=1)),
    "mels from 0 Hz": replace(fbank, "_LOWEST_HZ", 0.0),
}
FBANK: dict[str, Patch] = WINDOW_AND_MELS | {
    "no 16-bit scale": replace(fbank, "_INT16_SCALE", 1.0),
    "no pre-emphasis": replace(fbank, "_PREEMPHASIS", 0.0),
    "higher floor": replace(fbank, "_FLOOR", 1e-3),
}
WESPEAKER: dict[str, Patch] = WINDOW_AND_MELS | {
    "mean kept": replace(speaker_encoders, "subtract_mean", lambda features, counts: features),
    "mean over padding": replace(speaker_encoders, "subtract_mean", without_mask(fbank.subtract_mean)),
    "padding not masked": replace(SpeakerResNet, "forward", without_mask(SpeakerResNet.forward)),
    "biased variance": replace(resnet_speaker, "_statistics", biased),
    "length not 1": replace(speaker_encoders, "normalize", lambda x, dim: x),
}
GE2E: dict[str, Patch] = {
    "mel off by one": wrap(mel, "_slaney_filters", lambda filters: filters.roll(1, dims=0)),
    "fewer partials": replace(speaker_ge2e, "_PARTIALS_PER_S", 1.0),
    "last partial always kept": replace(speaker_ge2e, "_MIN_COVERAGE", 0.0),
    "length not 1": replace(speaker_ge2e, "normalize", lambda x, dim: x),
    "quiet speech stays quiet": replace(speaker_speech, "_raise_volume", lambda samples: samples),
    "pauses stay": replace(speaker_speech, "_kept_frames", lambda flags: flags >= 0),
}
SIMILARITY: dict[str, Patch] = {
    "references cut": wrap(speaker_similarity, "reference_speech", lambda speech: speech[:8000]),
    "centroid of the first": replace(speaker_similarity, "combine", lambda all_: speaker_reference.combine(all_[:1])),
    "centroid not of length 1": replace(speaker_reference, "normalize", lambda x, dim: x),
    "clips mixed up": wrap(speaker_resemblyzer, "embed", lambda embeddings: embeddings.flip(0)),
    "only the beginning heard": wrap(speaker_resemblyzer, "prepare", lambda speech: speech[:8000]),
}


MUTATIONS = {"fbank": FBANK, "wespeaker": WESPEAKER, "ge2e": GE2E, "similarity": SIMILARITY}


@pytest.fixture
def checks(voice: Callable[..., Tensor], tmp_path: Path) -> dict[str, Callable[[], None]]:
    """A check for each group of mutations, on clips as short as will do."""
    half_silent = torch.cat([voice(0.2, seed=1), torch.zeros(2000)])
    pause = 1e-4 * torch.randn(24000, generator=torch.Generator().manual_seed(0))
    long = torch.cat([voice(1.2, seed=1), pause, voice(1.3, seed=2)])
    references = [tmp_path / f"{seed}.flac" for seed in range(2)]
    for seed, path in enumerate(references):
        soundfile.write(path, voice(0.7 + 0.2 * seed, seed=seed).numpy(), 16000)
    spoken = [voice(0.7, seed=4), voice(0.6, pitch=200, seed=5)]
    return {
        "fbank": lambda: check_fbank([voice(0.3), half_silent]),
        "wespeaker": lambda: check_wespeaker([voice(0.2), voice(0.12, seed=1)]),
        "ge2e": lambda: check_ge2e([0.01 * voice(0.6), long]),
        "similarity": lambda: check_similarity(ResemblyzerSimilarity(), resemblyzer_embedding, spoken, references),
    }


@pytest.fixture(autouse=True)
def fresh_filters() -> Iterator[None]:
    """Filters are computed once and kept: each mutation needs its own, and nothing after it may see them."""
    kept = (fbank._mel_filters, mel._slaney_filters)
    for cached in kept:
        cached.cache_clear()
    yield
    for cached in kept:
        cached.cache_clear()


@pytest.mark.parametrize("group", MUTATIONS)
def test_without_a_mutation_the_check_passes(group: str, checks: dict[str, Callable[[], None]]) -> None:
    checks[group]()


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in MUTATIONS for name in MUTATIONS[group]])
def test_a_mutation_is_caught(
    group: str, name: str, checks: dict[str, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTATIONS[group][name](monkeypatch)
    with pytest.raises(AssertionError):
        checks[group]()
