"""All that speaks, put together: front end, backbone, codec and watermark."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import metrics.options
from evalkit.engines.base import Request, Setup, Speech, Status
from evalkit.engines.neutts.backbone import Backbone, read_config, read_tokenizer
from evalkit.engines.neutts.codec import Watermark, load_codec
from evalkit.engines.neutts.generation import BROKEN, Sampling
from evalkit.engines.neutts.prompt import (
    CONTROL,
    FrontEnd,
    Prompter,
    emotion_refusal,
    input_format,
    supported_emotions,
)
from evalkit.engines.neutts.streaming import stream_audio
from evalkit.engines.neutts.vllm_backbone import VllmBackbone
from evalkit.engines.neutts.voices import VoiceCodes
from evalkit.errors import EvalkitError
from metrics.options import Option

_SAMPLING = ("temperature", "top_k", "min_new_tokens", "max_length")


@dataclass(frozen=True)
class Refusal:
    status: Status
    reason: str


@dataclass(frozen=True)
class Task:
    """A request that can be spoken. reading: what the backbone reads; reference: the voice's codes."""

    request: Request
    reading: str
    reference: tuple[int, ...]
    prompt: tuple[int, ...]
    sampling: Sampling


class System:
    """Raises EvalkitError for an asset that cannot be used."""

    def __init__(self, setup: Setup, device: torch.device, declared: Mapping[str, Option]) -> None:
        folder = setup.assets["backbone"]
        config = read_config(folder)
        self._options, self._declared = dict(setup.options), declared
        form = input_format(config, self._options["input_format"])
        self._emotions = supported_emotions(config)
        if refused := emotion_refusal(self._options["emotion"], form, self._emotions):
            raise EvalkitError(refused)
        self.front_end = FrontEnd(form, self._options["language"])
        self._prompter = Prompter(read_tokenizer(folder), form)
        runs: type[Backbone] | type[VllmBackbone] = VllmBackbone if self._options["backend"] == "vllm" else Backbone
        self.backbone = runs(folder, self._options["dtype"], device, setup.assets.get("adapter"))
        self._codes = self._prompter.codes(config["vocab_size"])
        self._known = frozenset(code for code in self._codes if code >= 0)
        self._codec = load_codec(setup.assets["codec"], device)
        self._watermark = Watermark() if self._options["watermark"] else None
        self._device = device

    def speak(self, requests: Sequence[Request]) -> list[Speech]:
        """One batch for the backbone for all requests that sample alike, then the codec one by one."""
        tasks = [self._task(request) for request in requests]
        spoken: dict[int, Speech] = {}
        for sampling in dict.fromkeys(task.sampling for task in tasks if isinstance(task, Task)):
            places = [i for i, task in enumerate(tasks) if isinstance(task, Task) and task.sampling == sampling]
            group = [task for task in tasks if isinstance(task, Task) and task.sampling == sampling]
            spoken |= dict(zip(places, self._speak_alike(group, sampling), strict=True))
        return [
            Speech(request.id, status=task.status, reason=task.reason) if isinstance(task, Refusal) else spoken[place]
            for place, (request, task) in enumerate(zip(requests, tasks, strict=True))
        ]

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks of audio as they become ready. Raises EvalkitError on a bad request."""
        task = self._task(request)
        if isinstance(task, Refusal):
            raise EvalkitError(task.reason)
        return stream_audio(task.reference, self._spoken_codes(task), self._decode)

    def _spoken_codes(self, task: Task) -> Iterator[int]:
        for token in self.backbone.steps(task.prompt, task.request.seed, task.sampling):
            if token == BROKEN:
                raise EvalkitError("The backbone's logits have NaN in them.")
            if (code := self._code(token)) >= 0:
                yield code

    def _speak_alike(self, tasks: Sequence[Task], sampling: Sampling) -> list[Speech]:
        started = time.perf_counter()
        prompts, seeds = [task.prompt for task in tasks], [task.request.seed for task in tasks]
        said = self.backbone.generate(prompts, seeds, sampling)
        speeches = [self._speech(task, tokens) for task, tokens in zip(tasks, said, strict=True)]
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - started
        total = max(1, sum(len(speech.audio) for speech in speeches))
        return [_timed(speech, seconds * len(speech.audio) / total) for speech in speeches]

    def _speech(self, task: Task, tokens: Sequence[int]) -> Speech:
        codes = [code for token in tokens if (code := self._code(token)) >= 0]
        details: dict[str, Any] = {"tokens": len(tokens), "codes": len(codes)}
        refusal = _unfinished(tokens, codes, task.sampling)
        if refusal is None:
            audio = self._decode(codes)
            if bool(audio.isfinite().all()):
                details["watermark"] = self._watermark is not None
                phonemes = task.reading if self.front_end.form == "phonemes" else None
                return Speech(task.request.id, audio, phonemes=phonemes, details=details)
            refusal = Refusal("not_finite", "The codec's audio has NaN or infinity in it.")
        return Speech(task.request.id, status=refusal.status, reason=refusal.reason, details=details)

    def _decode(self, codes: Sequence[int]) -> Tensor:
        audio = self._codec.decode(codes)
        return audio if self._watermark is None else self._watermark(audio)

    def _code(self, token: int) -> int:
        return self._codes[token] if 0 <= token < len(self._codes) else -1

    def _task(self, request: Request) -> Task | Refusal:
        options = {**self._options, **request.options}
        form = self.front_end.form
        try:
            metrics.options.complete("neutts", self._declared, dict(request.options))
        except ValueError as error:
            return Refusal("failed", str(error))
        if refused := emotion_refusal(options["emotion"], form, self._emotions):
            return Refusal("failed", refused)
        voice = request.voice.data if request.voice else None
        if not isinstance(voice, VoiceCodes):
            return Refusal("bad_voice", "NeuTTS needs a voice: a file of codes and what is said in it.")
        if strange := set(voice.codes) - self._known:
            return Refusal("bad_voice", f"This backbone has no token for {len(strange)} of the voice's codes.")
        if request.phonemes is not None and form != "phonemes":
            return Refusal("failed", "This backbone reads text and takes no phonemes; leave them out.")
        reading = self.front_end.read(request.text) if request.phonemes is None else request.phonemes
        return _unreadable(reading) or self._prompted(request, voice, reading, options)

    def _prompted(
        self, request: Request, voice: VoiceCodes, reading: str, options: Mapping[str, Any]
    ) -> Task | Refusal:
        try:
            prompt = self._prompter.ids(self.front_end.read(voice.text), reading, voice.codes, options["emotion"])
        except EvalkitError as error:
            return Refusal("failed", str(error))
        sampling = Sampling(end=self._prompter.end, **{name: options[name] for name in _SAMPLING})
        if len(prompt) + sampling.min_new_tokens >= sampling.max_length:
            return Refusal(
                "too_long",
                f"Text and voice take {len(prompt)} of the backbone's {sampling.max_length} tokens, which leaves no "
                "room for speech: split the text or take a shorter voice.",
            )
        return Task(request, reading, voice.codes, tuple(prompt), sampling)


def _unreadable(reading: str) -> Refusal | None:
    if not any(symbol.isalnum() for symbol in reading):
        return Refusal("empty_text", "There is nothing to read in this text.")
    if found := CONTROL.search(reading):
        return Refusal("unknown_symbols", f"The text holds {found[0]}, which a backbone may take for a command.")
    return None


def _unfinished(tokens: Sequence[int], codes: Sequence[int], sampling: Sampling) -> Refusal | None:
    if not tokens or tokens[-1] == BROKEN:
        return Refusal("not_finite", "The backbone's logits have NaN in them.")
    if tokens[-1] != sampling.end:
        return Refusal(
            "truncated", f"The backbone had not ended its speech when it came to {sampling.max_length} tokens."
        )
    if not codes:
        return Refusal("failed", "The backbone said no speech tokens.")
    return None


def _timed(speech: Speech, seconds: float) -> Speech:
    return replace(speech, seconds=seconds) if len(speech.audio) else speech
