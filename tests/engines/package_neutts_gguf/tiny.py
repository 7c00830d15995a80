"""A tiny Qwen2 backbone with random weights and a byte-level BPE tokenizer with merges, as a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TEXTS = [
    "user: Convert the text to speech: this is a test of the speech of the text",
    "ðɪs ɪz ɐ tˈɛst ʌv ðə tˈɛkst, hˈæv juː ˈiːʔn̩ ɛnˈʌf tə sˈeɪ ðɪs",
    "assistant: isn't it 12 or 345, that's the text to say",
] * 20
SPEECH_TOKENS = 64
SPEECH_ARE_SPECIAL = False
END_LIKELIHOOD = 0.25  # ends most sentences after one to three seconds
MARKS = ("<|TEXT_PROMPT_START|>", "<|TEXT_PROMPT_END|>", "<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>")
MARKS += ("<|TEXT_REPLACE|>", "<|SPEECH_REPLACE|>", "<|endoftext|>")
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_tokenizer(folder: Path) -> int:
    """Write tokenizer.json and its settings; returns the number of tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    speech = [AddedToken(f"<|speech_{i}|>", special=SPEECH_ARE_SPECIAL, normalized=False) for i in range(SPEECH_TOKENS)]
    tokenizer.add_tokens(speech)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    fast.save_pretrained(folder)
    return len(fast)


def write_backbone(
    folder: Path, seed: int, tied: bool = False, form: str | None = "phonemes", speaks: bool = False
) -> None:
    """Write config.json, model.safetensors and the tokenizer; speaks: speech tokens only, and an end."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokens = write_tokenizer(folder)
    config = Qwen2Config(
        vocab_size=tokens + 3,  # rows without a token, as real ones have
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=tied,
        dtype="float32",
    )
    config.neuphonic = {"input_format": form} if form else None
    model = Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator) * 0.15
            weight.copy_(1 + noise if "norm" in name else noise)
        if speaks:
            _let_speak(model)
    model.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    if form is None:
        settings.pop("neuphonic", None)
        (folder / "config.json").write_text(json.dumps(settings))


def _let_speak(model: Any) -> None:
    """Keeps the first dimension of the residual stream constant, and has lm_head tell tokens apart by it."""
    marks = model.config.vocab_size - 3 - SPEECH_TOKENS - len(MARKS)  # the text tokens come first, then the marks
    end = marks + MARKS.index("<|SPEECH_GENERATION_END|>")
    model.model.embed_tokens.weight[:, 0] = 4.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0
    model.model.norm.weight[0] = 1.0
    head = model.lm_head.weight
    head[:, 0] = -20.0
    head[marks + len(MARKS) : -3, 0] = 0.0
    head[end] = 0.0
    head[end, 0] = END_LIKELIHOOD
