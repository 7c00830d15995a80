"""What NeuTTS refuses before its package is needed, and what its spec says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from evalkit.engines.base import Setup
from evalkit.engines.neutts.adapter import attach
from evalkit.engines.neutts.backbone import read_config
from evalkit.engines.neutts.codec import codec_file, load_codec
from evalkit.engines.neutts.encoding import encode_voice
from evalkit.engines.neutts.engine import NeuTTS
from evalkit.engines.neutts.prompt import codes_text, emotion_refusal, input_format, prompt_text, supported_emotions
from evalkit.errors import EvalkitError


def test_a_config_that_does_not_say_how_it_reads_is_refused() -> None:
    for config in ({}, {"neuphonic": None}, {"neuphonic": {}}):
        with pytest.raises(EvalkitError, match=r"does not say .* --set input_format=phonemes"):
            input_format(config)
    with pytest.raises(EvalkitError, match="says 'letters'"):
        input_format({"neuphonic": {"input_format": "letters"}})


def test_the_config_says_how_a_model_reads_and_the_user_goes_before_it() -> None:
    config = {"neuphonic": {"input_format": "BPE"}}
    assert input_format(config) == "BPE"
    assert input_format(config, "phonemes") == "phonemes"
    assert input_format({}, "phonemes") == "phonemes"


def test_emotions() -> None:
    assert emotion_refusal("neutral", "phonemes", None) is None
    assert emotion_refusal("happy", "BPE", None) is None
    assert emotion_refusal("happy", "BPE", ("happy", "sad")) is None
    assert "reads phonemes" in str(emotion_refusal("happy", "phonemes", None))
    assert "it has: happy, sad" in str(emotion_refusal("proud", "BPE", ("happy", "sad")))
    assert supported_emotions({"neuphonic": {"supported_emotions": ["sad"]}}) == ("sad",)
    assert supported_emotions({}) is None


def test_prompts_as_text() -> None:
    assert codes_text([1, 22]) == "<|speech_1|><|speech_22|>"
    assert prompt_text("phonemes", "a", "b", [3]) == (
        "user: Convert the text to speech:<|TEXT_PROMPT_START|>a b<|TEXT_PROMPT_END|>\n"
        "assistant:<|SPEECH_GENERATION_START|><|speech_3|>"
    )
    assert prompt_text("BPE", "a", "b", [3], "happy") == (
        "<|TEXT_PROMPT_START|>a<|HAPPY|>b<|TEXT_PROMPT_END|><|SPEECH_GENERATION_START|><|speech_3|>"
    )


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="--set backbone=FOLDER"):
        read_config(tmp_path)
    for content in ("{", "[]"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(EvalkitError, match="is no JSON"):
            read_config(tmp_path)


def test_what_is_no_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="No codec at"):
        load_codec(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"nothing")
    assert codec_file(tmp_path) == tmp_path / "pytorch_model.bin"
    with pytest.raises(EvalkitError, match="cannot be read as weights"):
        load_codec(tmp_path)
    other = tmp_path / "other.pt"
    torch.save({"encoder.weight": torch.zeros(2, 2)}, other)
    with pytest.raises(EvalkitError, match="is no NeuCodec"):
        load_codec(other)
    torch.save([1, 2], other)
    with pytest.raises(EvalkitError, match="no weights by name"):
        load_codec(other)


def test_a_clip_without_the_encoder_is_told_how_to_make_codes(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match=r"encode_reference\('anu\.wav'\), 'anu\.pt'"):
        encode_voice(tmp_path / "anu.wav", "Hello.", {}, torch.device("cpu"))
    decoder = tmp_path / "codec.onnx"
    decoder.write_bytes(b"")
    with pytest.raises(EvalkitError, match=r"codec\.onnx only decodes"):
        encode_voice(tmp_path / "anu.wav", "Hello.", {"w2v_bert": tmp_path, "codec": decoder}, torch.device("cpu"))


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": "LOHA"},
        {"peft_type": "LORA", "bias": "all"},
        {"peft_type": "LORA", "modules_to_save": ["lm_head"]},
        {"peft_type": "LORA", "trainable_token_indices": [1]},
        [],
    ],
)
def test_adapters_that_change_the_base_are_refused(tmp_path: Path, config: object) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(EvalkitError, match="merge it with peft"):
        attach(None, tmp_path)


def test_adapters_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvalkitError, match="name the folder that peft saved"):
        attach(None, tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(EvalkitError, match=r"has no adapter_model\.safetensors"):
        attach(None, tmp_path)


def test_an_engine_that_is_not_set_up_says_so() -> None:
    engine = NeuTTS()
    assert engine.weights() == {}
    with pytest.raises(EvalkitError, match="not set up"):
        engine.load({})
    with pytest.raises(EvalkitError, match="call load first"):
        engine.synthesize([])


def test_set_up_needs_a_backbones_folder(tmp_path: Path) -> None:
    options = {name: option.default for name, option in NeuTTS.spec.options.items()}
    with pytest.raises(EvalkitError, match=r"No config\.json"):
        NeuTTS().set_up(Setup({"backbone": tmp_path}, options))


def test_the_requirements_are_complete_pins() -> None:
    lines = (Path(__file__).parents[2] / "evalkit/engines/neutts/requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert NeuTTS.spec.environment is not None
    wanted = {**NeuTTS.spec.environment.packages, "torch": "2.11.0", "torchaudio": "2.11.0"}
    assert {name: pins[name] for name in wanted} == wanted
    assert {"numpy", "safetensors"} <= pins.keys()
