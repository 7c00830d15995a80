"""The tokenizer of a NeuTTS backbone in a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.engines.neutts.gguf_model import reported_errors
from evalkit.engines.neutts.prompt import END, SPEECH
from evalkit.errors import EvalkitError

# What a prompt is made of: the template, phonemes with their marks, digits and quotes of a text model, codes.
_PROBE = (
    "user: Convert the text to speech:<|TEXT_PROMPT_START|>ðɪs ɪz ɐ tˈɛst, hˈæv juː ˈiːʔn̩ ɛnˈʌf? ʈʂ ɖʒ θɜːɾi tuː! "
    "Rs. 18,00,000 isn't \"much\" - it's 'fine'.<|TEXT_PROMPT_END|>\n"
    "assistant:<|SPEECH_GENERATION_START|><|speech_0|><|speech_1|><|SPEECH_GENERATION_END|>"
)
_NO_MERGE = "Ā Ā"  # of two zero bytes, which no text has: llama.cpp wants a list, and gguf cannot write an empty one


def write_vocabulary(writer: Any, folder: Path, config: Any) -> None:
    """Add tokens, their types, merges and special ids to a gguf.GGUFWriter.

    Speech tokens and the end of speech get the type USER_DEFINED: the neutts package reads them back from text
    (neutts 1.4.1, neutts.py:379 and :508), and llama-cpp-python leaves CONTROL tokens, which convert_hf_to_gguf.py
    makes of them, out of the text.
    """
    import gguf
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    spelled = {index: token for token, index in tokenizer.get_vocab().items()}
    if max(spelled) >= config.vocab_size:
        raise EvalkitError(
            f"The tokenizer in {folder} has token {max(spelled)} and config.json only {config.vocab_size} tokens: "
            "give the tokenizer that belongs to these weights."
        )
    added = tokenizer.added_tokens_decoder
    kinds = []
    for index in range(config.vocab_size):
        if index not in spelled:
            kinds.append(gguf.TokenType.UNUSED)
        elif index not in added:
            kinds.append(gguf.TokenType.NORMAL)
        elif _is_read_back(spelled[index]) or not added[index].special:
            kinds.append(gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([spelled.get(index, f"[PAD{index}]") for index in range(config.vocab_size)])
    writer.add_token_types(kinds)
    special = gguf.SpecialVocab(folder, load_merges=True)
    special.merges = special.merges or [_NO_MERGE]
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


def check_tokenizer(path: Path, folder: Path) -> None:
    """Raise EvalkitError unless llama.cpp splits a prompt into the same tokens as the folder's tokenizer."""
    from llama_cpp import Llama
    from transformers import AutoTokenizer

    reported_errors()
    llama = Llama(model_path=str(path), vocab_only=True, verbose=False)
    found = llama.tokenize(_PROBE.encode(), add_bos=False, special=True)
    llama.close()
    expected = AutoTokenizer.from_pretrained(folder, local_files_only=True).encode(_PROBE, add_special_tokens=False)
    if found != expected:
        at = next(i for i, (a, b) in enumerate(zip([*found, -1], [*expected, -1], strict=False)) if a != b)
        raise EvalkitError(
            f"llama.cpp would split a prompt differently from the tokenizer in {folder} (token {at} of "
            f"{len(expected)}): make the GGUF file with llama.cpp's convert_hf_to_gguf.py, which knows more tokenizers."
        )


def _is_read_back(token: str) -> bool:
    return token == END or SPEECH.fullmatch(token) is not None
