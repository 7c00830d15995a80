"""Where the clips of a run come from: an engine that speaks, or files that exist."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from evalkit.engines import Engine, Request, Speech, Voice
from evalkit.errors import EvalkitError
from evalkit.pipeline.audio import quantise, read_audio, unusable
from evalkit.pipeline.plan import Utterance

DECODERS = 4


@dataclass(frozen=True)
class Clip:
    """What became of one planned utterance. audio: float32 [samples], empty unless status is "ok"."""

    audio: Tensor
    sample_rate: int
    status: str = "ok"
    reason: str | None = None
    read: str | None = None
    phonemes: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)  # timing -> why it has no value
    details: Mapping[str, Any] = field(default_factory=dict)
    stored: Path | None = None  # the file that already holds this audio


class Source(Protocol):
    ahead: bool  # whether the next batch may be made while the metrics work on the last one

    def clips(self, batch: Sequence[Utterance]) -> list[Clip]:
        """One clip per utterance, in order; a failure is a status, never an exception."""
        ...


@dataclass
class EngineSource:
    """Synthesises. Remembers the batch size that fitted after running out of memory."""

    engine: Engine
    voice: Voice | None
    options: Mapping[str, Any]
    largest: int
    phonemes: Mapping[str, str] = field(default_factory=dict)  # utterance -> read instead of its text
    ahead: bool = False  # its speed is measured: nothing else may work meanwhile

    def clips(self, batch: Sequence[Utterance]) -> list[Clip]:
        made: list[Clip] = []
        while len(made) < len(batch):
            made.extend(self._survive(batch[len(made) : len(made) + self.largest]))
        return made

    def _survive(self, part: Sequence[Utterance]) -> list[Clip]:
        """Speak; if that raises, speak the halves, down to the one utterance that is at fault."""
        try:
            return self._speak(part)
        except EvalkitError:
            raise
        except Exception as error:
            if isinstance(error, torch.cuda.OutOfMemoryError):
                torch.cuda.empty_cache()
                self.largest = max(1, len(part) // 2)
            if len(part) == 1:
                status = "out_of_memory" if isinstance(error, torch.cuda.OutOfMemoryError) else "failed"
                return [self._failed(status, f"The engine raised {type(error).__name__}: {error}", self._text(part[0]))]
        middle = len(part) // 2
        return [*self._survive(part[:middle]), *self._survive(part[middle:])]

    def _speak(self, part: Sequence[Utterance]) -> list[Clip]:
        requests = [self._request(utterance) for utterance in part]
        return [self._clip(*made) for made in zip(requests, self._synthesize(requests), strict=True)]

    def _synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        speeches = self.engine.synthesize(requests)
        if len(speeches) != len(requests):
            raise EvalkitError(
                f"The engine '{self.engine.spec.name}' returned {len(speeches)} clips for {len(requests)} requests."
            )
        return speeches

    def _request(self, utterance: Utterance) -> Request:
        return Request(
            utterance.id,
            self._text(utterance),
            utterance.seed,
            self.voice,
            self.phonemes.get(utterance.id),
            self.options,
            {e.spelling: e.accepted[0] for e in utterance.item.entities if e.accepted},
        )

    def _text(self, utterance: Utterance) -> str:
        return utterance.item.text if self.engine.spec.reads_digits else utterance.item.spoken

    def _clip(self, request: Request, speech: Speech) -> Clip:
        rate = self.engine.spec.sample_rate
        if speech.status != "ok":
            return self._failed(speech.status, speech.reason or "The engine gave no reason.", request.text)
        problem = unusable(speech.audio, rate)
        if problem:
            return self._failed(*problem, read=request.text)
        told = {name: value for name, value in speech.details.items() if name != "frames"}
        if unfit := _unfit(told, speech.seconds, speech.phonemes):
            return self._failed("failed", f"The engine told what cannot be recorded: {unfit}.", request.text)
        timings: dict[str, float] = {}
        if speech.seconds is not None:
            timings = {"total_s": speech.seconds, "rtf": speech.seconds / (len(speech.audio) / rate)}
        return Clip(
            quantise(speech.audio),
            rate,
            read=request.text,
            phonemes=speech.phonemes,
            timings=timings,
            details={"engine": told} if told else {},
        )

    def _failed(self, status: str, reason: str, read: str | None = None) -> Clip:
        said = reason.encode("utf-8", "backslashreplace").decode()  # half a character of an engine's would end the run
        return Clip(torch.zeros(0), self.engine.spec.sample_rate, status, said, read=read)


def _unfit(*told: Any) -> str | None:
    """Why a log in JSON and UTF-8 cannot hold it, None if it can: NaN, a tensor, half of a character."""
    try:
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return None


@dataclass
class FileSource:
    """Reads audio that exists, several files at once."""

    ahead: bool = True

    def clips(self, batch: Sequence[Utterance]) -> list[Clip]:
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as decoders:
            return list(decoders.map(self._read, batch))

    def _read(self, utterance: Utterance) -> Clip:
        path = utterance.source
        if path is None:
            return Clip(torch.zeros(0), 0, "failed", f"There is no file for {utterance.id}.")
        try:
            audio, rate = read_audio(path)
        except EvalkitError as error:
            return Clip(torch.zeros(0), utterance.sample_rate or 0, "unreadable", str(error))
        problem = unusable(audio, rate)
        if problem:
            return Clip(torch.zeros(0), rate, *problem, stored=path)
        return Clip(audio, rate, stored=path)
