"""A small NeuTTS with random weights: the real format and the real classes."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evalkit.engines.base import Example
from evalkit.engines.neutts.codec import write_random_codec

CODES = 512  # how many of NeuCodec's the example's backbone knows
_CONTROL = (
    "<|TEXT_REPLACE|>",
    "<|SPEECH_REPLACE|>",
    "<|TEXT_PROMPT_START|>",
    "<|TEXT_PROMPT_END|>",
    "<|SPEECH_GENERATION_START|>",
    "<|SPEECH_GENERATION_END|>",
    "<|HAPPY|>",
)
_TEXTS = (
    "Good morning.",
    "The train to Pune leaves at seven.",
    "Please call Ananya before the meeting begins.",
    "Thank you, that is all.",
)
_VOICE_TEXT = "So I said hello."
_SPEECH_LEVEL = 6.0  # of the first channel; see _bias_towards_speech
_END_PROBABILITY = 0.04


def write_example(folder: Path, seed: int, input_format: str = "phonemes") -> Example:
    """A backbone's folder, a codec and a voice. It says about one and a half seconds a text."""
    generator = torch.Generator().manual_seed(seed)
    backbone, codec, voice = folder / "backbone", folder / "codec.safetensors", folder / "voice.npy"
    write_backbone(backbone, generator, input_format)
    write_random_codec(codec, seed)
    np.save(voice, torch.randint(0, CODES, (40,), generator=generator).numpy())
    voice.with_suffix(".txt").write_text(_VOICE_TEXT + "\n")
    return Example(
        checkpoint=backbone,
        texts=_TEXTS,
        voice=str(voice),
        voice_text=_VOICE_TEXT,
        settings=(f"codec={codec}", "dtype=float32"),
    )


def write_backbone(folder: Path, generator: torch.Generator, input_format: str = "phonemes", **sizes: int) -> None:
    """A Qwen2 with tied embeddings and a byte-level tokenizer, as Hugging Face saves them.

    sizes: of its config; a vocabulary larger than the tokenizer's has tokens that are never said.
    """
    from safetensors.torch import save_file

    transformers: Any = import_module("transformers")
    tokenizer = make_tokenizer()
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.Qwen2Config(
        **{**shape, "num_key_value_heads": 2, "vocab_size": len(tokenizer), **sizes},
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        neuphonic={"input_format": input_format},
        architectures=["Qwen2ForCausalLM"],
        dtype="float32",
    )
    with import_module("transformers.initialization").no_init_weights():
        network = transformers.Qwen2ForCausalLM(config)
    network.tie_weights()
    tensors = {key: tensor for key, tensor in network.state_dict().items() if key != "lm_head.weight"}
    for key, tensor in tensors.items():
        _draw(key, tensor, generator)
    _bias_towards_speech(network.eval(), tokenizer, generator)
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file({key: t.contiguous() for key, t in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def make_tokenizer() -> Any:
    """Bytes, NeuTTS' control tokens and the first 512 speech tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=letters, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([*_CONTROL, *(f"<|speech_{code}|>" for code in range(CODES))])
    return import_module("transformers").PreTrainedTokenizerFast(tokenizer_object=inner)


def _draw(key: str, tensor: Tensor, generator: torch.Generator) -> None:
    """Values with which layers have more to say than the residual has, or each token would only repeat itself."""
    if key.endswith("norm.weight"):
        tensor.fill_(1.0)
    elif key.endswith("bias"):
        tensor.zero_()
    elif "embed" in key:
        tensor.normal_(0.0, 0.3, generator=generator)
    else:
        tensor.normal_(0.0, 2.0 * tensor.shape[1] ** -0.5, generator=generator)


@torch.inference_mode()
def _bias_towards_speech(network: Any, tokenizer: Any, generator: torch.Generator) -> None:
    """Turn one channel into a bias: no text is spoken, and about every 25th token ends the speech.

    No layer writes to the channel, so it comes out as it went in, and tied embeddings turn it into logits.
    """
    embedding = network.get_input_embeddings().weight
    for layer in network.model.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0
    codes = torch.tensor(tokenizer.convert_tokens_to_ids([f"<|speech_{code}|>" for code in range(CODES)]))
    end = tokenizer.convert_tokens_to_ids("<|SPEECH_GENERATION_END|>")
    embedding[end] = 0.0
    embedding[:, 0] = 0.0
    embedding[len(tokenizer) :] = 0.0
    embedding[codes, 0] = _SPEECH_LEVEL
    spoken = codes[torch.randint(0, CODES, (1, 128), generator=generator)]
    states = network.model(spoken).last_hidden_state[0]
    total = (states @ embedding[codes].T).topk(50).values.logsumexp(1).mean()
    embedding[end, 0] = (total + math.log(_END_PROBABILITY)) / states[:, 0].mean()
