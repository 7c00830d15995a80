"""The committed reference voices: of one family, spelled as real checkpoints are, and speaking as they were taught."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint, recognise
from evalkit.engines.base import Request
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.engines.tinytts.text import normalise
from evalkit.engines.tinytts.vocoder import LOG_F0, VOICING
from evalkit.merging import fold_adapter, read_adapter

VOICES = Path(__file__).resolve().parents[2] / "fixtures" / "voices"
FAMILY = ("base", "sarah", "sumit", "merged", "merged-by-section")
OVER_LONG = (50, 100, 200, 400, 800, 1600)
SUBRAMANIAN = "Could you please connect me with Subramanian?"
SHARED = ("encoder.chunk_phones", "decoder.frame_mean", "decoder.frame_std")


@cache
def weights(name: str) -> dict[str, Tensor]:
    return dict(canonical(read_checkpoint(VOICES / f"{name}.pth").tensors).tensors)


@cache
def engine(name: str) -> TinyTTS:
    tinytts = TinyTTS()
    tinytts.load(weights(name))
    return tinytts


def phonemes(name: str, text: str) -> str:
    return engine(name).synthesize([Request("x", text, 0)])[0].phonemes or ""


def pitch(name: str) -> float:
    """Median F0 in Hz of the voiced frames of one sentence."""
    with torch.inference_mode():
        frames = engine(name).frames([normalise(SUBRAMANIAN)], [1.0]).frames[0]
    return float(frames[frames[:, VOICING] > 0, LOG_F0].median().exp())


@pytest.mark.parametrize("name", [*FAMILY, *(f"overlong/step-{step:05d}" for step in OVER_LONG)])
def test_a_voice_loads_speaks_and_is_small(name: str) -> None:
    assert (VOICES / f"{name}.pth").stat().st_size < 8 * 1024 * 1024
    speech = engine(name).synthesize([Request("x", SUBRAMANIAN, 0)])[0]
    assert speech.status == "ok"
    assert 1.5 < len(speech.audio) / 16000 < 6
    assert 0.01 < float(speech.audio.std()) < 0.5
    assert float(speech.audio.abs().max()) <= 1


@pytest.mark.parametrize("name", FAMILY)
def test_a_voice_is_recognised_by_its_layout(name: str) -> None:
    assert recognise(list(weights(name)), {"tinytts": TinyTTS.spec.layouts}) == "tinytts"


def test_spelling_of_weight_norm_differs_within_the_family() -> None:
    keys = {
        name: list(read_checkpoint(VOICES / f"{name}.pth").tensors) for name in ("base", "sarah", "sumit", "merged")
    }
    assert any(key.endswith(".weight_g") for key in keys["base"])
    assert not any("parametrizations" in key for key in keys["base"])
    for name in ("sarah", "sumit"):
        assert any(key.endswith("parametrizations.weight.original0") for key in keys[name])
        assert not any(key.endswith(".weight_g") for key in keys[name])
    assert set(keys["merged"]) == set(weights("base")) == set(weights("sarah"))


@pytest.mark.parametrize("key", SHARED)
def test_constants_are_the_same_in_the_whole_family(key: str) -> None:
    assert all(torch.equal(weights(name)[key], weights("base")[key]) for name in FAMILY)


@pytest.mark.parametrize("name", ["sarah", "merged"])
def test_frames_of_a_batch_equal_those_one_by_one(name: str) -> None:
    texts = [normalise(text) for text in ("Yes.", SUBRAMANIAN, "The report says Bengaluru came first, and I agree.")]
    with torch.inference_mode():
        together = engine(name).frames(texts, [1.0] * len(texts))
        for index, text in enumerate(texts):
            alone = engine(name).frames([text], [1.0])
            length = int(alone.lengths[0])
            assert length == int(together.lengths[index])
            torch.testing.assert_close(together.frames[index, :length], alone.frames[0], atol=1e-4, rtol=0)


def test_sumit_reads_the_name_as_taught_and_sarah_as_flite_guesses() -> None:
    indian, anglicised = "s uh b r ah m ah n y ah n", "s uw b r ax m aa n iy ax n"
    assert indian in phonemes("sumit", SUBRAMANIAN)
    assert anglicised in phonemes("sarah", SUBRAMANIAN)
    assert indian in phonemes("merged-by-section", SUBRAMANIAN)
    assert phonemes("merged-by-section", SUBRAMANIAN) == phonemes("sumit", SUBRAMANIAN)


def test_pitch_tells_the_voices_apart() -> None:
    assert pitch("sarah") > 150
    assert pitch("sumit") < 115
    assert pitch("merged-by-section") == pytest.approx(pitch("sarah"), rel=0.05)
    assert pitch("sumit") < pitch("merged") < pitch("sarah")


@pytest.mark.parametrize("rank", [4, 8, 16, 32])
def test_an_adapter_moves_the_base_towards_sarah(rank: int) -> None:
    adapter = read_adapter(VOICES / f"sarah-lora-r{rank}")
    assert {min(update.a.shape[0], update.b.shape[1]) for update in adapter.updates.values()} == {rank}
    folded = fold_adapter(read_checkpoint(VOICES / "base.pth").tensors, adapter)
    tinytts = TinyTTS()
    tinytts.load(folded)
    with torch.inference_mode():
        frames = tinytts.frames([normalise(SUBRAMANIAN)], [1.0]).frames[0]
    assert float(frames[frames[:, VOICING] > 0, LOG_F0].median().exp()) > 150


def test_the_over_long_fine_tune_overfits() -> None:
    with (VOICES / "overlong" / "losses.csv").open() as file:
        rows = {int(float(row["step"])): row for row in csv.DictReader(file)}
    assert set(OVER_LONG) <= set(rows)
    train, held_out = ([float(rows[step][f"{part}_envelope"]) for step in OVER_LONG] for part in ("train", "held_out"))
    assert train == sorted(train, reverse=True)
    assert held_out[-1] > min(held_out)
    assert held_out[-1] > 2 * train[-1]
