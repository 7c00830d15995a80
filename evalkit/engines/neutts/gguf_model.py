"""A NeuTTS backbone in a GGUF file, run by llama.cpp through llama-cpp-python."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Generator, Iterable, Sized
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from evalkit.engines.neutts.prompt import END, INPUT_FORMATS, SPEECH, InputFormat
from evalkit.errors import EvalkitError

FloatArray = NDArray[np.float32]

CONTEXT = 2048  # tokens; neutts.py:135
_BATCH = 512  # tokens of the prompt at once; neutts.py:228
_RANDOM_SEED = 0xFFFFFFFF  # llama.cpp takes this one for "any seed"
_ERROR = 4  # ggml_log_level of ggml.h; the table in llama_cpp/_logger.py is of an older one
_MAGIC = b"GGUF"


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; llama.cpp applies top_k, top_p, min_p and the temperature in this order."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    min_new_tokens: int  # before an end may be drawn


@dataclass(frozen=True)
class Threads:
    """Threads for one token after the other, and for a prompt."""

    token: int
    prompt: int


def package_threads() -> Threads:
    """What the package takes: half the cores, and all of them for a prompt (neutts.py:62-72, 230-231; not on macOS)."""
    cores = os.cpu_count() or 2
    return Threads(max(cores // 2, 1), cores)


class GgufModel:
    """An opened file. `codes`: token id -> NeuCodec code; `end`: the id that ends the speech."""

    def __init__(self, path: Path, threads: Threads, gpu: bool = False) -> None:
        """Raises EvalkitError for a file that is no GGUF, that llama.cpp cannot run, or that is no NeuTTS backbone."""
        self.path = path
        self._turn = 0  # the generation that the context belongs to
        self._llama = _open(path, threads, gpu)
        # Left to the interpreter's end, llama-cpp-python would be taken apart in the wrong order and complain.
        self._closing = weakref.finalize(self, self._llama.close)
        self.metadata: dict[str, str] = dict(self._llama.metadata)
        spelled = _spelled(self._llama)
        self.codes = {index: int(match[1]) for index, text in spelled if (match := SPEECH.fullmatch(text))}
        ends = [index for index, text in spelled if text == END]
        if not self.codes or not ends:
            self.close()
            raise EvalkitError(
                f"{path} is no NeuTTS backbone: its vocabulary has {len(self.codes)} speech tokens and "
                f"{'an' if ends else 'no'} end of speech; give a GGUF file made of a NeuTTS backbone."
            )
        self.end = ends[0]
        self._endings = frozenset([self.end, *(index for index, _ in spelled if self._is_eog(index))])
        self._spoken = frozenset(self.codes.values())

    @property
    def kind(self) -> str:
        """Architecture and quantisation, as llama.cpp says them: "qwen2 1B Q8_0"."""
        import llama_cpp

        text = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self._llama.model, text, len(text))
        return text.value.decode(errors="replace")

    @property
    def package_can_read(self) -> bool:
        """Whether llama-cpp-python writes the speech tokens out, from which the package reads the codes back."""
        return bool(self._llama.detokenize([next(iter(self.codes))]))

    @property
    def writes_end(self) -> bool:
        """Whether the package meets the end of speech as text, not as an end of generation."""
        return bool(self._llama.detokenize([self.end])) and not self._is_eog(self.end)

    def knows(self, codes: Iterable[int]) -> bool:
        """Whether the vocabulary has a token for each of the codes."""
        return self._spoken.issuperset(codes)

    def input_format(self, chosen: str = "") -> InputFormat:
        """What the backbone reads: `neuphonic.input_format` of the file, unless the user chose.

        A file without the field tells by its chat template, as the package has it (neutts.py:247-254). Raises
        EvalkitError where that says nothing, which the package would take for phonemes.
        """
        template = self.metadata.get("tokenizer.chat_template", "")
        said = chosen or self.metadata.get("neuphonic.input_format", "")
        if not said and "<|TEXT_PROMPT_START|>" in template:
            said = "phonemes" if "Convert the text to speech" in template else "BPE"
        if said not in INPUT_FORMATS:
            what = f"says '{said}'" if said else "does not say"
            raise EvalkitError(
                f"{self.path.name} {what} how the model reads text (neuphonic.input_format: phonemes or BPE): make the "
                "file of a folder whose config.json says it, or give --set input_format=phonemes."
            )
        return cast(InputFormat, said)

    def emotions(self) -> tuple[str, ...] | None:
        """Emotions that the file lists; None where it does not. llama-cpp-python leaves lists out of its metadata."""
        import gguf

        field = gguf.GGUFReader(self.path, "r").fields.get("neuphonic.supported_emotions")
        return None if field is None else tuple(str(name) for name in field.contents())

    def tokens(self, prompt: str) -> list[int]:
        """The prompt as llama-cpp-python's completion tokenises it (llama.py:1223-1307, special tokens parsed)."""
        import llama_cpp

        vocab = llama_cpp.llama_model_get_vocab(self._llama.model)
        start, stop = self._llama.token_bos(), self._llama.token_eos()
        tokens: list[int] = self._llama.tokenize(prompt.encode(), add_bos=False, special=True)
        if llama_cpp.llama_vocab_get_add_bos(vocab) and start != -1:
            tokens = [start, *tokens]
        return [*tokens, stop] if llama_cpp.llama_vocab_get_add_eos(vocab) else tokens

    def generate(self, prompt: list[int], seed: int, sampling: Sampling) -> Generator[int, None, None]:
        """Tokens after the prompt, up to the end of speech and without it, drawn from the seed alone.

        The context starts empty, so what was said before does not matter. The caller stops at its limit.
        """
        self._turn = turn = self._turn + 1
        shortest = sampling.min_new_tokens
        self._llama.reset()
        self._llama.set_seed(seed % _RANDOM_SEED)
        for token in self._llama.generate(
            prompt,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            temp=sampling.temperature,
            repeat_penalty=1.0,
            logits_processor=self._hold_back(len(prompt) + shortest) if shortest else None,
        ):
            if token in self._endings:
                return
            yield token
            if self._turn != turn:
                raise EvalkitError("A speech cannot go on after another was begun with the same backbone.")

    def _hold_back(self, length: int) -> Any:
        """Makes every end impossible while prompt and speech are shorter than `length` tokens."""
        from llama_cpp import LogitsProcessorList

        endings = list(self._endings)

        def hold(tokens: Sized, logits: FloatArray) -> FloatArray:
            if len(tokens) < length:
                logits[endings] = -np.inf
            return logits

        return LogitsProcessorList([hold])

    def _is_eog(self, token: int) -> bool:
        """Whether llama-cpp-python ends a generation there by itself."""
        import llama_cpp

        return bool(llama_cpp.llama_vocab_is_eog(llama_cpp.llama_model_get_vocab(self._llama.model), token))

    def close(self) -> None:
        self._closing()


def _open(path: Path, threads: Threads, gpu: bool) -> Any:
    import llama_cpp

    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise EvalkitError(f"Cannot read {path}: {error.strerror or error}.") from error
    if magic != _MAGIC:
        raise EvalkitError(f"{path} is no GGUF file: give one, or run a backbone's folder with the engine neutts.")
    if gpu and not llama_cpp.llama_supports_gpu_offload():
        raise EvalkitError(
            "llama-cpp-python was built without a GPU backend: reinstall it with CMAKE_ARGS=-DGGML_CUDA=on in the "
            "environment neutts-gguf, or use --device cpu."
        )
    said = reported_errors()
    said.clear()
    try:
        return llama_cpp.Llama(
            model_path=str(path),
            n_gpu_layers=-1 if gpu else 0,
            n_ctx=CONTEXT,
            n_batch=_BATCH,
            n_ubatch=_BATCH,
            n_threads=threads.token,
            n_threads_batch=threads.prompt,
            flash_attn=gpu,
            verbose=False,
        )
    except (ValueError, RuntimeError) as error:
        why = next((line for line in said if "error" in line), str(error)).split("error loading model: ")[-1]
        raise EvalkitError(f"llama.cpp cannot run {path}: {why.strip().rstrip('.')}; make the file again.") from error


@cache
def reported_errors() -> list[str]:
    """Errors that llama.cpp reports from now on, in place of what it prints. One list, as there is one callback."""
    import llama_cpp

    lines: list[str] = []

    def listen(level: int, text: bytes, _: object) -> None:
        if level == _ERROR:
            lines.append(text.decode(errors="replace"))

    callback = llama_cpp.llama_log_callback(listen)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    reported_errors.__dict__["callback"] = callback  # llama.cpp keeps a bare pointer to it
    return lines


def _spelled(llama: Any) -> list[tuple[int, str]]:
    """Every token with its text; `<|...|>` tokens are spelled as they are."""
    import llama_cpp

    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    count = llama_cpp.llama_vocab_n_tokens(vocab)
    return [(index, llama_cpp.llama_vocab_get_text(vocab, index).decode(errors="replace")) for index in range(count)]
