"""Speaking one utterance after another with nothing else at work, and timing it as a listener would."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from evalkit.decisions.timing import before_warnings
from evalkit.engines import EngineSpec, Request, Speech
from evalkit.engines.base import EngineGoneError, Status, StreamError, StreamingEngine
from evalkit.errors import EvalkitError
from evalkit.pipeline.machine import Look, Reading, conditions, read_machine, share_of_others
from evalkit.pipeline.plan import Utterance
from evalkit.pipeline.sources import Clip, EngineSource
from evalkit.pipeline.timings import Mode

WARM_UP = 2  # utterances that nothing is taken from: the longest of the run, so that memory is there; the shortest
PROBES = 3  # times that the shortest is then timed, to see whether it takes as long again
IDLE_S = 1.0  # how long the machine is looked at before anything is spoken
AT_ONCE = 8  # utterances spoken one after another before the metrics work on them
ONE_CHUNK = "The audio came in one chunk."


def timing_record(spec: EngineSpec, device: str, latency: bool) -> dict[str, Any]:
    """`manifest["timing"]`: how utterances are timed and on what. Where two are equal, timings can be compared.

    Raises EvalkitError if latency is asked of an engine that synthesises nothing.
    """
    if not latency:
        return {"mode": "batch", "max_batch": spec.max_batch, **conditions(device)}
    if not spec.timed:
        raise EvalkitError(
            f"The engine '{spec.name}' reads clips that exist, so there is no latency to measure: leave --latency out."
        )
    mode: Mode = "stream" if spec.streaming else "single"
    return {"mode": mode, "warm_up": WARM_UP + PROBES, **conditions(device)}


@dataclass(frozen=True)
class Timed:
    """What came of one request, and when.

    total_s: seconds from the request to the end; chunks: per chunk that holds audio the seconds since the chunk before
    it (of the first: since the request) and the seconds of its audio, empty where the engine does not stream.
    """

    speech: Speech
    total_s: float
    chunks: tuple[tuple[float, float], ...] = ()


@dataclass
class LatencySource(EngineSource):
    """Speaks every utterance alone: in chunks where the engine streams, else as a batch of one.

    The clock runs from the request to the audio in hand, so it holds what the engine's own `seconds` may leave out: the
    front end, and for an engine in a process of its own the way of the audio through the pipe. Warms up before the
    first utterance of a start, and after every pause in which metrics worked.
    """

    planned: Sequence[Utterance] = ()  # the whole run, of which the longest and the shortest warm up
    record: Mapping[str, Any] = field(default_factory=dict)  # `manifest["timing"]`
    device: str = "cpu"
    say: Callable[[str], None] = lambda sentence: None  # tells the user a warning while there is time to act on it
    clock: Callable[[], float] = time.perf_counter
    look: Look = read_machine
    sleep: Callable[[float], None] = time.sleep
    largest: int = field(default=1, init=False)
    _start: dict[str, Any] = field(default_factory=dict, init=False)  # of the next row: how this start began
    _warm: bool = field(default=False, init=False)
    _failing: set[str] = field(default_factory=set, init=False)  # utterances that failed in a warm-up

    def clips(self, batch: Sequence[Utterance]) -> list[Clip]:
        if self._warm:
            self._try(self._shortest())  # the metrics had the caches to themselves
        else:
            self._begin()
        return super().clips(batch)

    def _speak(self, part: Sequence[Utterance]) -> list[Clip]:
        (utterance,) = part
        request = self._request(utterance)
        before = self.look()
        timed = self._timed(request)
        after = self.look()
        start, self._start = self._start, {}
        clip = self._clip(request, timed.speech)
        found = {**clip.details, "timing": {**_details(timed, before, after), **start}}
        if clip.status != "ok":
            return [replace(clip, details=found)]
        seconds = len(clip.audio) / clip.sample_rate
        timings = self._timings(timed, seconds)
        missing = {} if len(timed.chunks) != 1 else {"second_chunk_rtf": ONE_CHUNK}
        return [replace(clip, timings=timings, missing=missing, details=found)]

    def _timed(self, request: Request) -> Timed:
        return self._stream(request) if self.engine.spec.streaming else self._whole(request)

    def _whole(self, request: Request) -> Timed:
        began = self._now()
        (speech,) = self._synthesize([request])
        return Timed(speech, self._now() - began)

    def _stream(self, request: Request) -> Timed:
        assert isinstance(self.engine, StreamingEngine), "its spec says that it streams"
        chunks: list[Tensor] = []
        arrivals: list[float] = []
        began = self._now()
        try:
            for chunk in self.engine.stream(request):
                now = self._now()
                if len(chunk):
                    chunks.append(chunk)
                    arrivals.append(now - began)
        except EngineGoneError:
            raise
        except EvalkitError as error:
            status: Status = error.status if isinstance(error, StreamError) else "failed"
            return Timed(Speech(request.id, status=status, reason=str(error)), self._now() - began)
        total = self._now() - began
        audio = torch.cat(chunks) if chunks else torch.zeros(0)
        waits = (now - earlier for now, earlier in zip(arrivals, [0.0, *arrivals], strict=False))
        rate = self.engine.spec.sample_rate
        lengths = (len(chunk) / rate for chunk in chunks)
        return Timed(Speech(request.id, audio), total, tuple(zip(waits, lengths, strict=True)))

    def _timings(self, timed: Timed, seconds: float) -> dict[str, float]:
        found = {"total_s": timed.total_s, "rtf": timed.total_s / seconds}
        if not self.engine.spec.streaming:
            return {**found, "first_chunk_s": timed.total_s}
        found["first_chunk_s"] = timed.chunks[0][0]
        names = ("first_chunk_rtf", "second_chunk_rtf")
        return found | {name: wait / length for name, (wait, length) in zip(names, timed.chunks, strict=False)}

    def _now(self) -> float:
        """The clock after everything asked of the GPU is done."""
        if torch.device(self.device).type == "cuda" and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.synchronize(self.device)
        return self.clock()

    def _begin(self) -> None:
        """Look at the machine, warm up, and see whether the same text takes the same time again."""
        self._warm = True
        before = self.look()
        self.sleep(IDLE_S)
        idle = self.look()
        self._try(max(self.planned, key=lambda u: (u.expected_s, u.id)))
        self._try(self._shortest())
        probes = [self._try(self._shortest()) for _ in range(PROBES)]
        times = [seconds for seconds in probes if seconds is not None]
        spread = (max(times) - min(times)) / median(times) if len(times) == PROBES and min(times) > 0 else None
        found = {"load": idle.load, "others": share_of_others(before, idle), "spread": spread}
        self._start = {"start": found}
        for warning in before_warnings(found, self.record):
            self.say(warning)

    def _shortest(self) -> Utterance:
        return min(self.planned, key=lambda u: (u.expected_s, u.id))

    def _try(self, utterance: Utterance) -> float | None:
        """Seconds to speak it; None if that fails, which the utterance will say for itself when its turn comes.

        One that failed is not tried again: that may take the whole of the time limit each time.
        """
        if utterance.id in self._failing:
            return None
        try:
            timed = self._timed(self._request(utterance))
            if timed.speech.status == "ok":
                return timed.total_s
        except EvalkitError:  # of an engine that is gone, and of one that breaks the protocol
            raise
        except Exception:
            pass
        self._failing.add(utterance.id)
        return None


def _details(timed: Timed, before: Reading, after: Reading) -> dict[str, Any]:
    """What the summary needs of an utterance beside its columns; seconds to the microsecond."""
    others = share_of_others(before, after)
    return {
        "chunks": [[round(wait, 6), round(length, 6)] for wait, length in timed.chunks],
        "wall_s": round(after.at - before.at, 6),
        "others": others if others is None else round(others, 4),
        "load": after.load,
    }
