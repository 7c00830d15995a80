"""Deliberate errors in the Whisper judge, each of which a check of `parity_whisper` must catch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("whisper")

import parity_whisper as parity

from metrics import whisper_decode, whisper_heard, whisper_mel, whisper_search
from metrics.base import ClipBatch
from metrics.whisper_decode import Transcriber
from metrics.whisper_heard import Evidence

real_mels = whisper_mel.log_mels
real_options = Transcriber._options
real_encode = Transcriber.encode


@dataclass
class Scene:
    """What the checks look at."""

    clips: list[Tensor]
    model: Any  # multilingual, so that the language is a token
    file: Path


def mels(scene: Scene) -> None:
    parity.check_mels(scene.clips)


def greedy(scene: Scene) -> None:
    parity.check_tokens(scene.model, scene.clips)


def beam(scene: Scene) -> None:
    parity.check_tokens(scene.model, scene.clips, beam=3)


def fallback(scene: Scene) -> None:
    parity.check_fallback(scene.model, scene.clips)


def batches(scene: Scene) -> None:
    parity.check_batches(scene.file, scene.clips)


def change_mels(patch: pytest.MonkeyPatch, changed: Callable[..., Tensor]) -> None:
    for module in (whisper_mel, whisper_decode):
        patch.setattr(module, "log_mels", changed)


def change_torch(patch: pytest.MonkeyPatch, owner: Any, name: str, changed: Any) -> None:
    """While the judge computes its spectrograms, and not while the package does."""

    def mutated(*arguments: Any) -> Tensor:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(owner, name, changed)
            return real_mels(*arguments)

    change_mels(patch, mutated)


def maximum_of_the_batch(patch: pytest.MonkeyPatch) -> None:
    change_torch(patch, Tensor, "amax", lambda self, dim, keepdim: self.max())


def audio_padded_to_30_s(patch: pytest.MonkeyPatch) -> None:
    def padded(clips: Sequence[Tensor], *rest: Any) -> Tensor:
        return real_mels([torch.nn.functional.pad(clip, (0, 480000 - len(clip))) for clip in clips], *rest)

    change_mels(patch, padded)


def mel_filters_off_by_one(patch: pytest.MonkeyPatch) -> None:
    change_mels(patch, lambda *arguments: real_mels(*arguments).roll(1, dims=1))


def no_scale(patch: pytest.MonkeyPatch) -> None:
    change_mels(patch, lambda *arguments: real_mels(*arguments) * 4 - 4)


def natural_logarithm(patch: pytest.MonkeyPatch) -> None:
    change_torch(patch, Tensor, "log10", Tensor.log)


def window_of_another_length(patch: pytest.MonkeyPatch) -> None:
    hann = torch.hann_window

    def shorter(length: int, **options: Any) -> Tensor:
        return torch.nn.functional.pad(hann(length - 80, **options), (40, 40))

    change_torch(patch, torch, "hann_window", shorter)


def padding_leaks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClipBatch, "clip", lambda self, index: self.audio[index])


def other_language(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transcriber, "_options", lambda *a: replace(real_options(*a), language="de"))


def translates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transcriber, "_options", lambda *a: replace(real_options(*a), task="translate"))


def with_timestamps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transcriber, "_options", lambda *a: replace(real_options(*a), without_timestamps=False))


def one_limit_for_the_batch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(whisper_search.Limits, "apply", lambda *a: None)


def beams_of_mixed_clips(patch: pytest.MonkeyPatch) -> None:
    def mixed(self: Tensor, repeats: int, dim: int = 0) -> Tensor:
        return self.repeat(repeats, *[1] * (self.ndim - 1))

    patch.setattr(Tensor, "repeat_interleave", mixed)


def beams_keep_the_cache_of_others(patch: pytest.MonkeyPatch) -> None:
    begin = whisper_search.Beam.__init__

    def stale(self: Any, package: Any) -> None:
        begin(self, package)
        package.inference = SimpleNamespace(rearrange_kv_cache=lambda rows: None)

    patch.setattr(whisper_search.Beam, "__init__", stale)


def samples_from_the_global_generator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(whisper_decode, "seed", lambda clip: int(torch.randint(2**31, ())))


def every_clip_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Evidence, "failed", property(lambda self: True))


def never_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Evidence, "failed", property(lambda self: False))


def another_threshold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(whisper_heard, "LOGPROB", -0.9)


def half_precision(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transcriber, "encode", lambda self, mels: real_encode(self, mels.bfloat16().float()))


MUTATIONS = [
    (maximum_of_the_batch, mels),
    (audio_padded_to_30_s, mels),
    (audio_padded_to_30_s, greedy),
    (mel_filters_off_by_one, mels),
    (mel_filters_off_by_one, greedy),
    (no_scale, mels),
    (natural_logarithm, mels),
    (window_of_another_length, mels),
    (padding_leaks, batches),
    (other_language, greedy),
    (translates, greedy),
    (with_timestamps, greedy),
    (one_limit_for_the_batch, greedy),
    (beams_of_mixed_clips, beam),
    (beams_keep_the_cache_of_others, beam),
    (samples_from_the_global_generator, batches),
    (every_clip_again, fallback),
    (never_again, fallback),
    (another_threshold, fallback),
    (half_precision, greedy),
]


@pytest.fixture(scope="module")
def scene(voice: Callable[..., Tensor], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    model = parity.tiny_model(english=False, loops=True)
    file = parity.save(model, tmp_path_factory.mktemp("whisper") / "tiny.pt")
    return Scene([voice(1.6, seed=1), 0.02 * voice(0.3, seed=2), voice(0.9, pitch=210, seed=3)], model, file)


@pytest.fixture(autouse=True)
def few_temperatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_decode, "TEMPERATURES", (0.0, 0.6))


@pytest.mark.parametrize("check", [mels, greedy, beam, fallback, batches], ids=lambda check: check.__name__)
def test_the_judge_passes(check: Callable[[Scene], None], scene: Scene) -> None:
    check(scene)


@pytest.mark.parametrize(("mutation", "check"), MUTATIONS, ids=lambda one: one.__name__)
def test_an_error_is_caught(
    mutation: Callable[[pytest.MonkeyPatch], None],
    check: Callable[[Scene], None],
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        check(scene)
