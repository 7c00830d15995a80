"""Layer patterns and presets: which tensors they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.checkpoints import CanonicalTensors, read_checkpoint
from evalkit.errors import EvalkitError
from evalkit.merging.presets import FAMILIES, family_of, select
from evalkit.merging.weights import LayerWeights, resolve

VOICES = Path(__file__).parents[2] / "fixtures" / "voices"
F5 = [
    "transformer.time_embed.time_mlp.0.weight",
    "transformer.text_embed.text_embed.weight",
    "transformer.text_embed.text_blocks.0.grn.gamma",
    "transformer.input_embed.proj.weight",
    "transformer.rotary_embed.inv_freq",
    *(f"transformer.transformer_blocks.{n}.{part}" for n in range(22) for part in ("attn.to_q.weight", "ff.ff.2.bias")),
    "transformer.norm_out.linear.weight",
    "transformer.proj_out.weight",
]
KOKORO = [
    "bert.embeddings.word_embeddings.weight",
    "bert_encoder.weight",
    "predictor.F0.0.conv1.weight",
    "predictor.F0_proj.weight",
    "predictor.lstm.weight_ih_l0",
    "decoder.encode.conv1.weight",
    "decoder.generator.conv_post.weight",
    "text_encoder.embedding.weight",
]


def blocks(keys: set[str]) -> set[int]:
    return {int(key.split(".")[2]) for key in keys if "transformer_blocks" in key}


def test_halves_of_f5_are_those_of_the_paper() -> None:
    early, late = select("early", F5), select("late", F5)
    assert blocks(early) == set(range(11)) and blocks(late) == set(range(11, 22))
    assert len(early) == len(late) == 22


def test_f5_presets_leave_nothing_out_and_take_nothing_twice() -> None:
    parts = [select(name, F5) for name in ("text", "early", "late", "other")]
    assert sum(map(len, parts)) == len(F5) and set().union(*parts) == set(F5)


def test_an_odd_number_of_blocks_gives_the_middle_one_to_the_second_half() -> None:
    keys = [f"transformer.transformer_blocks.{n}.attn.to_q.weight" for n in range(3)]
    assert blocks(select("early", keys)) == {0} and blocks(select("late", keys)) == {1, 2}


def test_attention_and_feedforward_are_told_apart() -> None:
    assert all(".attn." in key for key in select("attention", F5)) and len(select("attention", F5)) == 22
    assert all(".ff." in key for key in select("feedforward", F5)) and len(select("feedforward", F5)) == 22
    model = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
    assert select("attention", model) == {model[0]} and select("feedforward", model) == {model[1]}


def test_kokoro_presets() -> None:
    assert select("vocoder", KOKORO) == {"decoder.generator.conv_post.weight"}
    assert select("pitch", KOKORO) == {"predictor.F0.0.conv1.weight", "predictor.F0_proj.weight"}
    assert select("text", KOKORO) | select("prosody", KOKORO) | select("decoder", KOKORO) == set(KOKORO)


def test_every_preset_of_the_fixture_voices_means_something() -> None:
    keys = CanonicalTensors(read_checkpoint(VOICES / "sarah.pth").tensors)
    family = family_of(keys)
    assert family is not None and family.name == "tinytts"
    assert all(select(name, keys) for name in family.presets)
    assert select("early", keys) | select("late", keys) == set(keys)


def test_patterns() -> None:
    keys = ["decoder.blocks.0.w", "decoder.blocks.1.w", "decoder.blocks.10.w", "decoder.bias", "decoder_2.w", "e.bias"]
    assert select("decoder", keys) == set(keys[:4])
    assert select("decoder.blocks.1", keys) == {keys[1]}
    assert select("decoder.blocks.0-1", keys) == set(keys[:2])
    assert select("decoder.blocks.1-10", keys) == set(keys[1:3])
    assert select("*.bias", keys) == {"decoder.bias", "e.bias"}
    assert select("*", keys) == set(keys)
    assert select(r"re:.*\.\d+\.w$", keys) == set(keys[:3])
    assert select("e.bias", keys) == {"e.bias"}


@pytest.mark.parametrize("pattern", ["decodr", "decoder.blocks.11-12", "*.gamma", "re:blocks", "late"])
def test_a_pattern_that_means_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(EvalkitError, match="Unknown layer pattern"):
        select(pattern, ["decoder.blocks.0.w", "decoder.bias"])
    with pytest.raises(EvalkitError, match="no regular expression"):
        select("re:(", ["a"])


def test_the_first_pattern_that_matches_counts() -> None:
    weights = {"a": LayerWeights(0.1, {"decoder.blocks.0-4": 2.0, "decoder": 3.0}), "b": 0.5}
    keys = ["decoder.blocks.4.w", "decoder.blocks.5.w", "encoder.w"]
    assert resolve(keys, weights) == {keys[0]: [2.0, 0.5], keys[1]: [3.0, 0.5], keys[2]: [0.1, 0.5]}


def test_a_hierarchical_merge_must_say_what_becomes_of_every_tensor() -> None:
    """HE-Vector on F5-TTS: the paper leaves the rest open, so the recipe must not."""
    dialect, emotion = {"text": 2.0, "early": 2.0}, {"late": 1.5}
    with pytest.raises(EvalkitError, match=r"27 tensors got no coefficient for 'dialect' \(transformer\.time_embed"):
        resolve(F5, {"dialect": LayerWeights(1.0, dialect), "emotion": LayerWeights(1.0, emotion)}, by_layer=True)
    rest = {"*": 0.0}
    resolved = resolve(F5, {"d": LayerWeights(None, dialect | rest), "e": LayerWeights(None, emotion | rest)}, True)
    assert resolved["transformer.transformer_blocks.10.ff.ff.2.bias"] == [2.0, 0.0]
    assert resolved["transformer.transformer_blocks.11.ff.ff.2.bias"] == [0.0, 1.5]
    assert resolved["transformer.proj_out.weight"] == [0.0, 0.0]


def test_the_list_of_presets_names_every_pattern_in_words() -> None:
    described = {family.name: [family.describe(name) for name in family.presets] for family in FAMILIES}
    assert ["first half of transformer.transformer_blocks"] in described["F5-TTS"]
    assert "{" not in "".join(pattern for lists in described.values() for patterns in lists for pattern in patterns)
