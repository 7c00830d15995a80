"""neutts-gguf: NeuTTS with its backbone in a GGUF file, as llama.cpp runs it.

A GGUF file is quantised after merging or training, so it is a system of its own: its scores are not those of the folder
that it was made of. Source: neutts 1.4.1, neutts/neutts.py:222-261 and 504-649.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.base import EngineSpec, Environment, Example, Request, Setup, Speech, Voice
from evalkit.engines.neutts.codec import SAMPLE_RATE, Codec, Watermark, load_codec
from evalkit.engines.neutts.gguf_model import CONTEXT, GgufModel, Threads, package_threads
from evalkit.engines.neutts.gguf_request import RefusedError, Spoken, read
from evalkit.engines.neutts.prompt import FrontEnd, emotion_refusal, prompt_text
from evalkit.engines.neutts.settings import CODEC, OPTIONS, VOICE, W2V_BERT
from evalkit.engines.neutts.streaming import stream_audio
from evalkit.engines.neutts.voices import VoiceCodes, is_codes, read_voice
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file
from metrics.options import Option, Value, complete

_OPTIONS = {
    **OPTIONS,
    "top_p": Option(0.95, "Draw from the likeliest tokens that are this likely together; 1: from all.", 0.0, 1.0),
    "min_p": Option(0.05, "Draw from tokens at least this likely, as a share of the likeliest; 0: from all.", 0.0, 1.0),
    "min_new_tokens": Option(0, "Tokens before speech may end (50 a second); neutts on torch has 50.", low=0),
    "max_length": Option(CONTEXT, "Tokens of prompt and speech together.", 2, CONTEXT),
    "n_threads": Option(0, "Threads of llama.cpp; 0: as the package, half of the cores.", 0, 1024),
}
_AT_SET_UP = ("language", "input_format", "watermark", "n_threads")


class NeuTTSGguf:
    """Speaks one request after the other; each starts from an empty context and its own seed."""

    spec = EngineSpec(
        name="neutts-gguf",
        version="1",
        layouts=(),
        sample_rate=SAMPLE_RATE,
        front_end="neutts 1.4.1",
        options=_OPTIONS,
        max_batch=1,
        batch_exact=True,
        streaming=True,
        stochastic=True,
        needs_voice=True,
        voice_is_clip=False,
        voice=VOICE,
        needs_voice_text=True,
        phonemes=True,
        weights="file",
        suffixes=(".gguf",),
        assets={"codec": CODEC, "w2v_bert": W2V_BERT},
        environment=Environment(
            name="neutts-gguf",
            packages={"neutts": "1.4.1", "neucodec": "0.0.6", "llama-cpp-python": "0.3.36", "resemble-perth": "1.0.1"},
            requirements="evalkit.engines.neutts:requirements-gguf.txt",
        ),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.notes: list[str] = []
        self._options: dict[str, Value] = {name: option.default for name, option in _OPTIONS.items()}
        self._assets: Mapping[str, Path] = {}
        self._threads: Threads = package_threads()
        self._codec: Codec | None = None
        self._watermark: Watermark | None = None
        self._model: GgufModel | None = None
        self._front_end: FrontEnd | None = None
        self._emotions: tuple[str, ...] | None = None

    def set_up(self, setup: Setup) -> None:
        """Load codec and watermark. Raises EvalkitError where one of them cannot be used."""
        self._options |= setup.options
        if count := int(self._options["n_threads"]):
            self._threads = Threads(count, count)
        self._assets = setup.assets
        self._codec = load_codec(setup.assets["codec"], self.device)
        self._watermark = Watermark() if self._options["watermark"] else None

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("neutts-gguf runs a GGUF file; give tensors to the engine neutts, or write them as a GGUF.")

    def weights(self) -> Mapping[str, Tensor]:
        """Nothing: llama.cpp keeps the weights to itself; the file's digest says which they are."""
        return {}

    def load_file(self, path: Path) -> str:
        """Open a GGUF file in place of the one before and return the sha256 of the file.

        Raises EvalkitError, and keeps the one before, for a file that is no NeuTTS backbone that llama.cpp can run or
        that does not say what it reads.
        """
        model = GgufModel(path, self._threads, gpu=self.device.type != "cpu")
        try:
            front_end = FrontEnd(model.input_format(str(self._options["input_format"])), str(self._options["language"]))
        except EvalkitError:
            model.close()
            raise
        self.close()
        self._model, self._front_end, self._emotions = model, front_end, model.emotions()
        self.spec = dataclasses.replace(
            type(self).spec, front_end=front_end.name, phonemes=front_end.form == "phonemes"
        )
        self.notes = [
            f"{model.kind} on llama.cpp: {self._threads.token} threads a token, {self._threads.prompt} for the prompt."
        ]
        if not model.package_can_read:
            self.notes.append("The neutts package cannot speak with this file: its speech tokens are control tokens.")
        return sha256_file(path)

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """A voice of a file of codes, of a speaker's name, or of a clip where the codec's encoder lies at hand."""
        if is_codes(reference):
            return read_voice(reference, text)
        from evalkit.engines.neutts.encoding import encode_voice

        return encode_voice(reference, text, self._assets, self.device)

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, one after the other. Raises EvalkitError only if nothing is loaded."""
        self._loaded()
        return [self._speak(request) for request in requests]

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks of half a second, as the package's `infer_stream` makes them; quality is not that of `synthesize`.

        Raises EvalkitError for a request that cannot be spoken and, after the last chunk, for a speech without an end.
        """
        try:
            spoken = self._spoken(request)
            yield from stream_audio(spoken.voice.codes, spoken.messages(), self._decode)
            spoken.check()
        except RefusedError as no:
            raise EvalkitError(str(no)) from no

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        from evalkit.engines.neutts.example import write_example
        from evalkit.engines.neutts.gguf_write import write_folder

        made = write_example(folder, seed)
        assert made.checkpoint is not None
        checkpoint = folder / "backbone.gguf"
        write_folder(made.checkpoint, checkpoint, "f32")
        settings = (*(s for s in made.settings if s.startswith("codec=")), "min_new_tokens=50")
        return dataclasses.replace(made, checkpoint=checkpoint, settings=settings)

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None

    def _loaded(self) -> GgufModel:
        if self._model is None or self._codec is None:
            raise EvalkitError("neutts-gguf has no backbone yet: call set_up and load_file first.")
        return self._model

    def _decode(self, codes: Sequence[int]) -> Tensor:
        assert self._codec is not None
        audio = self._codec.decode(codes)
        return audio if self._watermark is None else self._watermark(audio)

    def _speak(self, request: Request) -> Speech:
        started = time.perf_counter()
        details: dict[str, Any] = {"watermark": self._watermark is not None}
        try:
            spoken = self._spoken(request)
            codes = list(spoken)
            details |= {"tokens": spoken.drawn, "codes": len(codes)}
            spoken.check()
            audio = self._decode(codes)
            if not bool(audio.isfinite().all()):
                raise RefusedError("not_finite", "The codec's output has NaN or infinity in it.")
        except RefusedError as no:
            return Speech(request.id, status=no.status, reason=str(no), details=details)
        seconds = time.perf_counter() - started
        phonemes = spoken.reading if self.spec.phonemes else None
        return Speech(request.id, audio, phonemes=phonemes, seconds=seconds, details=details)

    def _spoken(self, request: Request) -> Spoken:
        """What the backbone makes of a request, not begun. Raises RefusedError."""
        model, front_end = self._loaded(), self._front_end
        assert front_end is not None
        try:
            chosen = complete("neutts-gguf", _OPTIONS, {**self._options, **request.options})
        except ValueError as error:
            raise RefusedError("failed", str(error)) from error
        if fixed := [name for name in _AT_SET_UP if chosen[name] != self._options[name]]:
            raise RefusedError("failed", f"The option {fixed[0]} is chosen at set-up, not by a request.")
        if no := emotion_refusal(str(chosen["emotion"]), front_end.form, self._emotions):
            raise RefusedError("failed", no)
        voice = request.voice.data if request.voice is not None else None
        if not isinstance(voice, VoiceCodes) or not model.knows(voice.codes):
            raise RefusedError("bad_voice", "neutts-gguf speaks in the voice of a file of codes that its backbone has.")
        reading = read(request, front_end)
        heard = front_end.read(voice.text)
        tokens = model.tokens(prompt_text(front_end.form, heard, reading, voice.codes, str(chosen["emotion"])))
        return Spoken(model, voice, reading, tokens, request.seed, chosen)
