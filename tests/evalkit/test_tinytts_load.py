"""tinytts loads all of a checkpoint or nothing, and what it loads is what it speaks with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tinytts_small import requests, small_weights
from torch import Tensor

from evalkit.checkpoints import canonical, fingerprint
from evalkit.engines.tinytts.engine import TinyTTS
from evalkit.errors import EvalkitError

Weights = dict[str, Tensor]


def spoken(weights: Weights) -> Tensor:
    engine = TinyTTS()
    engine.load(weights)
    return engine.synthesize(requests(["Hello there, Subramanian."]))[0].audio


def without(key: str) -> Callable[[Weights], None]:
    def remove(weights: Weights) -> None:
        del weights[key]

    return remove


def renamed(weights: Weights) -> None:
    weights["decoder.output.weight"] = weights.pop("decoder.to_frames.weight")


def with_extra(weights: Weights) -> None:
    weights["encoder.blocks.0.extra"] = torch.zeros(3)


def mis_shaped(weights: Weights) -> None:
    weights["decoder.start.weight"] = weights["decoder.start.weight"].T


def flattened(weights: Weights) -> None:
    weights["encoder.embedding.weight"] = weights["encoder.embedding.weight"].flatten()


def without_decoder(weights: Weights) -> None:
    for key in [key for key in weights if key.startswith("decoder.")]:
        del weights[key]


def without_a_block(weights: Weights) -> None:
    for key in [key for key in weights if key.startswith("decoder.blocks.0.")]:
        del weights[key]


def emptied(weights: Weights) -> None:
    weights.clear()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (without("predictor.norm.bias"), r"1 missing \(predictor.norm.bias\)"),
        (without("encoder.to_chunks.weight"), r"encoder.to_chunks.weight"),
        (without("encoder.chunk_phones"), r"1 missing \(encoder.chunk_phones\)"),
        (renamed, r"1 missing \(decoder.to_frames.weight\); 1 extra \(decoder.output.weight\)"),
        (with_extra, r"1 extra \(encoder.blocks.0.extra\)"),
        (mis_shaped, r"decoder.start.weight \[28, 24\] instead of \[24, 28\]"),
        (flattened, r"encoder.embedding.weight \[\d+\] instead of"),
        (without_decoder, r"missing \(decoder\.\S+, .* and \d+ more\)"),
        (without_a_block, r"missing \(decoder.blocks.0|of another shape|extra"),
        (emptied, r"missing \(encoder"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(damage: Callable[[Weights], None], named: str) -> None:
    weights = small_weights()
    damage(weights)
    with pytest.raises(EvalkitError, match=named):
        TinyTTS().load(weights)


def test_a_refused_load_leaves_the_earlier_voice_in_place() -> None:
    engine = TinyTTS()
    engine.load(small_weights())
    before = engine.synthesize(requests(["Hello."]))[0].audio
    broken = small_weights(seed=1)
    with_extra(broken)
    with pytest.raises(EvalkitError):
        engine.load(broken)
    assert torch.equal(engine.synthesize(requests(["Hello."]))[0].audio, before)


def test_a_phone_outside_the_inventory_is_refused() -> None:
    weights = small_weights()
    weights["encoder.chunk_phones"][0, 0] = 99
    with pytest.raises(EvalkitError, match="chunk_phones"):
        TinyTTS().load(weights)


def test_nothing_speaks_before_a_load() -> None:
    with pytest.raises(EvalkitError, match="load"):
        TinyTTS().synthesize(requests(["Hello."]))


def test_what_is_loaded_equals_what_was_given_bit_for_bit() -> None:
    weights = small_weights()
    engine = TinyTTS()
    digest = engine.load(weights)
    loaded = engine.weights()
    assert set(loaded) == set(weights)
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)
    assert digest == fingerprint(weights)


def test_loading_copies_the_weights() -> None:
    weights = small_weights()
    engine = TinyTTS()
    engine.load(weights)
    before = engine.synthesize(requests(["Hello."]))[0].audio
    for tensor in weights.values():
        tensor.zero_()
    assert torch.equal(engine.synthesize(requests(["Hello."]))[0].audio, before)


def test_one_changed_number_changes_the_digest() -> None:
    weights = small_weights()
    before = TinyTTS().load(weights)
    weights["decoder.norm.bias"][0] += 1e-6
    assert TinyTTS().load(weights) != before


@pytest.mark.parametrize("key", [key for key, tensor in small_weights().items() if tensor.is_floating_point()])
def test_every_tensor_changes_the_speech(key: str) -> None:
    weights = small_weights()
    before = spoken(weights)
    weights[key] += 0.1 * torch.randn(weights[key].shape, generator=torch.Generator().manual_seed(1)) + 0.05
    after = spoken(weights)
    assert len(after) != len(before) or not torch.allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("spelling", ["old", "new"])
def test_either_spelling_of_weight_norm_loads_as_the_same_voice(spelling: str) -> None:
    weights = small_weights()
    direction = weights.pop("decoder.start.weight")
    magnitude = direction.norm(dim=1, keepdim=True)
    names = {
        "old": ("weight_g", "weight_v"),
        "new": ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    }
    for name, tensor in zip(names[spelling], (magnitude, direction), strict=True):
        weights[f"decoder.start.{name}"] = tensor
    torch.testing.assert_close(spoken(dict(canonical(weights).tensors)), spoken(small_weights()), atol=1e-3, rtol=0)
