"""Telling the engine from a checkpoint's keys."""

from __future__ import annotations

import pytest

from evalkit.checkpoints import recognise
from evalkit.engines.base import Layout
from evalkit.errors import EvalkitError

TINY = Layout("tiny", ("encoder", "decoder"), ("encoder.embedding.weight",))
OTHER = Layout("other", ("encoder", "decoder"), ("encoder.table",))
LAYOUTS = {"tinytts": [TINY], "beep": [Layout("beep", ("beep",)), OTHER]}
TINY_KEYS = ["encoder.embedding.weight", "decoder.w", "predictor.w"]
KOKORO_KEYS = [f"{section}.w" for section in ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")]


def test_sections_and_markers_decide() -> None:
    assert recognise(TINY_KEYS, LAYOUTS) == "tinytts"
    assert recognise(["encoder.table", "decoder.w"], LAYOUTS) == "beep"
    assert recognise(["beep.pitch"], LAYOUTS) == "beep"


def test_two_engines_fit() -> None:
    with pytest.raises(EvalkitError, match=r"several engines \(tinytts, other\).*--engine"):
        recognise(TINY_KEYS, {"tinytts": [TINY], "other": [Layout("loose", ("encoder",))]})


def test_an_unknown_layout_says_what_was_found() -> None:
    with pytest.raises(EvalkitError) as raised:
        recognise(["vocoder.a", "vocoder.b", "acoustic.c"], LAYOUTS)
    message = str(raised.value)
    for part in ("acoustic, vocoder", "vocoder.a", "beep, tinytts"):
        assert part in message


@pytest.mark.parametrize(
    ("keys", "system"),
    [
        (KOKORO_KEYS, "Kokoro"),
        ([*KOKORO_KEYS, "style_encoder.w", "predictor_encoder.w", "mpd.w"], "StyleTTS2"),
        (["transformer.transformer_blocks.0.attn.to_q.weight", "transformer.proj_out.weight"], "F5-TTS"),
        (["ema_model.transformer.transformer_blocks.0.attn.to_q.weight", "initted"], "F5-TTS"),
    ],
)
def test_known_systems_without_an_engine_are_named(keys: list[str], system: str) -> None:
    with pytest.raises(EvalkitError, match=f"looks like a {system} checkpoint, for which no engine is installed"):
        recognise(keys, LAYOUTS)


def test_an_installed_engine_wins_over_the_list_of_known_systems() -> None:
    assert recognise(KOKORO_KEYS, LAYOUTS | {"kokoro": [Layout("release", ("bert", "text_encoder"))]}) == "kokoro"
