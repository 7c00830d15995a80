"""A small random Whisper as faster-whisper wants it: converted by CTranslate2's own converter, without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# openai-whisper's names -> those of transformers, in this order.
NAMES = {
    "blocks": "layers",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "cross_attn": "encoder_attn",
    "attn_ln": "self_attn_layer_norm",
    ".attn.": ".self_attn.",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "attn.out": "attn.out_proj",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
    "token_embedding": "embed_tokens",
    "positional_embedding": "embed_positions.weight",
    "ln_post": "layer_norm",
    "decoder.ln.": "decoder.layer_norm.",
}


def convert(model: Any, folder: Path) -> Path:
    """`whisper.model.Whisper` -> a folder in CTranslate2's format, by way of transformers' format."""
    from ctranslate2.converters import TransformersConverter

    source, target = folder / "transformers", folder / "ctranslate2"
    _transformers_model(model).save_pretrained(source)
    _tokenizer(model).save_pretrained(source)
    converter = TransformersConverter(str(source), copy_files=["tokenizer.json"])
    converter.convert(str(target))
    return target


def _transformers_model(model: Any) -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    dims = model.dims
    config = WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer,
        encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
    )
    converted = WhisperForConditionalGeneration(config)
    state = {}
    for name, weight in model.state_dict().items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)  # noqa: PLW2901
        state[f"model.{name}"] = weight
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    converted.load_state_dict(state)
    return converted


def _tokenizer(model: Any) -> Any:
    """The tokenizer of openai-whisper's wheel; its timestamps are not tokens of transformers' file."""
    import whisper
    from transformers import WhisperTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from whisper.tokenizer import get_tokenizer

    ours = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    name = "multilingual" if model.is_multilingual else "gpt2"
    ranks = Path(whisper.__file__).parent / "assets" / f"{name}.tiktoken"
    special = sorted(ours.special_tokens, key=lambda token: ours.special_tokens[token])
    words = TikTokenConverter(str(ranks), pattern=ours.encoding._pat_str).converted()
    words.add_special_tokens([token for token in special if ours.special_tokens[token] < ours.timestamp_begin])
    return WhisperTokenizerFast(tokenizer_object=words)
