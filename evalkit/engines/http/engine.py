"""http: a server with the interface of OpenAI's text-to-speech, `POST /v1/audio/speech`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines.base import EngineSpec, Request, Setup, Speech, StreamError, Voice
from evalkit.engines.command.speaking import JOBS, speak_all
from evalkit.engines.http.decoding import Decoder
from evalkit.engines.http.exchange import Answer, AnswerError, Exchanges
from evalkit.engines.http.server import EXAMPLE, KEY_VARIABLE, Server, parse_address
from evalkit.errors import EvalkitError
from metrics.options import Option, complete

PROBE = "This is a short test."
RETRIES = 4
FIRST_WAIT_S = 0.5  # doubled at every retry
LONGEST_WAIT_S = 30.0
OURS = frozenset({"input", "response_format"})  # parts of a body that `extra` must leave alone


class Http:
    """Asks a server for every sentence. A server that is busy (429, 503) is asked again, a little later each time.

    A clip's time is that of the last question alone, from before the connection is made to the last byte.
    """

    spec = EngineSpec(
        name="http",
        version="1",
        layouts=(),
        sample_rate=24000,  # of the first answer, once there was one
        front_end="unknown: inside the server",
        options={
            "address": Option("", "the server: http://127.0.0.1:8000; its endpoint is /v1/audio/speech"),
            "model": Option("tts-1", "the server's name of the model; empty to leave it out"),
            "voice": Option("alloy", "the server's name of the voice; empty to leave it out"),
            "speed": Option(1.0, "how fast to speak: 2 is twice as fast", low=0.25, high=4.0),
            "response_format": Option(
                "wav", "what the server sends; pcm is 16 bit without a header", choices=("wav", "pcm")
            ),
            "pcm_rate": Option(24000, "sample rate of pcm in Hz", low=8000, high=192000),
            "seed_field": Option("", "where the server takes a seed: the field's name; empty if it takes none"),
            "extra": Option("", 'more fields for the server, as JSON: {"language": "en"}'),
            "time_limit": Option(120.0, "seconds that an answer may take", low=0.05, high=86400.0),
            "jobs": JOBS,
        },
        max_batch=32,
        streaming=True,
        weights="none",
        argument="address",
        operating=("time_limit", "jobs"),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.notes: Sequence[str] = ()
        self._server: Server | None = None
        self._exchanges = Exchanges()
        self._options: Mapping[str, Any] = {}
        self._extra: Mapping[str, Any] = {}

    def set_up(self, setup: Setup) -> None:
        """Ask the server for one sentence. Raises EvalkitError if it does not speak."""
        options = {name: option.default for name, option in self.spec.options.items()} | dict(setup.options)
        address = str(options["address"]).strip()
        if not address:
            raise EvalkitError(f"Say where the server is: {EXAMPLE}.")
        self._options, self._extra = options, _extra(str(options["extra"]))
        server = parse_address(address)
        if not server.keeps_secrets:
            self.notes = (f"{server.address} is not encrypted, so {KEY_VARIABLE} is not sent to it.",)
        self._server = server
        self.spec = replace(self.spec, stochastic=bool(options["seed_field"]))
        try:
            rate, _ = self._ask(Request("probe", PROBE, 0), options)
        except AnswerError as error:
            raise EvalkitError(f"The server fails on a test sentence: {error.reason}") from error
        self.spec = replace(self.spec, sample_rate=rate)

    @property
    def identity(self) -> Mapping[str, str]:
        """The endpoint and what it is asked for. Which weights are behind it, a server does not say."""
        names = ("model", "voice", "speed", "response_format", "extra")
        chosen = {name: str(self._options[name]) for name in names if name in self._options}
        return {"address": self._server.address, **chosen} if self._server else {}

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("The engine 'http' takes no checkpoint: the server has loaded its own.")

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        raise EvalkitError("The engine 'http' sends no clip: name one of the server's voices with --set voice=NAME.")

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, `jobs` sentences at once. Raises EvalkitError if it was not set up, or the server is gone."""
        self._prepared()
        self._exchanges.stopped.clear()
        return speak_all(requests, self._speak, int(self._options["jobs"]), self._exchanges.stop)

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks as they arrive. Not asked again when the server is busy: the wait would count as latency.

        Raises EvalkitError on a bad request, a bad answer and a busy server.
        """
        try:
            options = self._checked(request)
            with self._exchanges.post(self._prepared(), self._body(request, options), self._time_limit) as answer:
                decoder = self._decoder()
                for chunk in _decoded(decoder, answer):
                    if decoder.rate != self.spec.sample_rate:
                        raise AnswerError("failed", self._other_rate(decoder.rate))
                    yield chunk.to(self.device)
        except AnswerError as error:
            raise StreamError(error.status, error.reason) from error

    def close(self) -> None:
        self._exchanges.stop()

    def _speak(self, request: Request) -> Speech:
        try:
            rate, speech = self._ask(request, self._checked(request))
            if rate != self.spec.sample_rate:
                raise AnswerError("failed", self._other_rate(rate))
        except AnswerError as error:
            return Speech(request.id, status=error.status, reason=error.reason)
        return speech

    def _ask(self, request: Request, options: Mapping[str, Any]) -> tuple[int, Speech]:
        """The answer's sample rate and its speech. Raises AnswerError, for a busy server after the last retry."""
        body = self._body(request, options)
        for attempt in range(RETRIES + 1):
            try:
                with self._exchanges.post(self._prepared(), body, self._time_limit) as answer:
                    decoder = self._decoder()
                    audio = torch.cat(list(_decoded(decoder, answer)))
                    seconds = time.perf_counter() - answer.started
                details = {"retries": attempt} if attempt else {}
                return decoder.rate, Speech(request.id, audio.to(self.device), seconds=seconds, details=details)
            except AnswerError as error:
                wait = error.retry_after
                if wait is None or attempt == RETRIES or wait > LONGEST_WAIT_S or self._exchanges.stopped.is_set():
                    raise
                self._exchanges.stopped.wait(max(wait, min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)))
        raise AssertionError("the last attempt returns or raises")

    def _checked(self, request: Request) -> Mapping[str, Any]:
        """The request's options. Raises AnswerError for what the server should not be asked."""
        if request.phonemes is not None:
            raise AnswerError("failed", "The server reads text and takes no phonemes.")
        if request.voice is not None:
            raise AnswerError(
                "bad_voice", "The server takes no prepared voice: name one of its own with --set voice=NAME."
            )
        if not request.text.strip():
            raise AnswerError("empty_text", "There is nothing to read in this text.")
        try:
            return complete("the engine 'http'", self.spec.options, {**self._options, **request.options})
        except ValueError as error:
            raise AnswerError("failed", str(error)) from error

    def _body(self, request: Request, options: Mapping[str, Any]) -> bytes:
        named = {name: options[name] for name in ("model", "voice") if options[name]}
        body = {**named, "input": request.text, "response_format": self._options["response_format"]}
        body |= {"speed": float(options["speed"]), **self._extra}
        if field := self._options["seed_field"]:
            body[field] = request.seed
        return json.dumps(body).encode()

    def _decoder(self) -> Decoder:
        return Decoder(str(self._options["response_format"]), int(self._options["pcm_rate"]))

    @property
    def _time_limit(self) -> float:
        return float(self._options["time_limit"])

    def _prepared(self) -> Server:
        if self._server is None:
            raise EvalkitError("The engine 'http' has no server yet: call set_up first.")
        return self._server

    def _other_rate(self, rate: int) -> str:
        return f"The audio has {rate} Hz, and the first answer's had {self.spec.sample_rate} Hz."


def _decoded(decoder: Decoder, answer: Answer) -> Iterator[Tensor]:
    with _as_answer_error():
        yield from decoder.chunks(answer.pieces())


@contextmanager
def _as_answer_error() -> Iterator[None]:
    try:
        yield
    except EvalkitError as error:
        raise AnswerError("failed", str(error)) from error


def _extra(text: str) -> Mapping[str, Any]:
    if not text.strip():
        return {}
    try:
        extra = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvalkitError(
            f"The option extra of the engine 'http' is not JSON ({error}): write {{\"name\": 1}}."
        ) from error
    if not isinstance(extra, dict) or not OURS.isdisjoint(extra):
        raise EvalkitError(
            f"The option extra of the engine 'http' takes a JSON object without {' and '.join(sorted(OURS))}."
        )
    return extra
