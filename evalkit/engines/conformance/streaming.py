"""Checks of streaming: the chunks are the sentence, and the first comes before the last is made."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.engines.base import Request, Speech, StreamingEngine
from evalkit.engines.conformance.comparing import check_audio
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.trial import Trial
from evalkit.errors import EvalkitError

LENGTHS_APART = 0.1  # share by which streamed and whole speech may differ in length
LATE = 0.95  # of the time for everything: a first chunk after that was cut from finished audio
SHORTEST_S = 0.01  # a stream over in less time says nothing of when its first chunk came
TRIES = 3  # one slow moment of the machine is no fault of the engine


class Streamed(NamedTuple):
    chunks: list[Tensor]
    first_s: float
    total_s: float


def streaming(trial: Trial) -> str:
    """The chunks make the whole sentence, are the same each time, and the first comes early; no text, EvalkitError."""
    if not trial.spec.streaming:
        raise NotApplicableError("the spec does not declare streaming")
    engine = trial.engine
    if not isinstance(engine, StreamingEngine):
        raise FaultError("the spec says streaming=True, but there is no method `stream`")
    longest = max(range(len(trial.texts)), key=lambda index: len(trial.texts[index]))
    request = trial.request(longest)
    tries = [_streamed(engine, request) for _ in range(TRIES)]
    joined = [torch.cat(streamed.chunks) for streamed in tries]
    check_audio(Speech(request.id, joined[0]), "the chunks joined")
    if any(not torch.equal(joined[0], other) for other in joined[1:]):
        raise FaultError("the same request streamed twice gives different audio")
    whole = len(trial.alone(longest).audio)
    if abs(len(joined[0]) - whole) > LENGTHS_APART * whole:
        raise FaultError(f"streamed there are {len(joined[0])} samples, in one piece {whole}")
    _check_bad_request(engine, trial.request(longest, text=""))
    return _check_early(tries)


def _streamed(engine: StreamingEngine, request: Request) -> Streamed:
    started = time.perf_counter()
    chunks, first = [], 0.0
    for chunk in engine.stream(request):
        first = first or time.perf_counter() - started
        chunks.append(chunk)
    total = time.perf_counter() - started
    if bad := [chunk for chunk in chunks if chunk.dtype != torch.float32 or chunk.ndim != 1]:
        raise FaultError(f"a chunk is {bad[0].dtype} {list(bad[0].shape)} instead of float32 [samples]")
    if len(chunks) < 2:
        raise FaultError(f"the longest text comes in {len(chunks)} chunk(s), so nothing is heard before the end")
    return Streamed(chunks, first, total)


def _check_early(tries: list[Streamed]) -> str:
    chunks = len(tries[0].chunks)
    if max(streamed.total_s for streamed in tries) < SHORTEST_S:
        return f"{chunks} chunks"
    share = min(streamed.first_s / streamed.total_s for streamed in tries)
    if share > LATE:
        raise FaultError(f"the first of {chunks} chunks comes after {share:.0%} of the time: all was made before it")
    return f"{chunks} chunks, the first after {share:.0%} of the time"


def _check_bad_request(engine: StreamingEngine, request: Request) -> None:
    try:
        chunks = list(engine.stream(request))
    except EvalkitError:
        return
    except Exception as error:
        raise FaultError(f"streaming an empty text raises {type(error).__name__} instead of EvalkitError") from error
    raise FaultError(f"streaming an empty text gives {len(chunks)} chunk(s) instead of an EvalkitError")
