"""Engines that take a known time on a clock of their own, for tests of the timings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from evalkit.engines import EngineSpec, Layout, Request, Speech, Voice
from evalkit.errors import EvalkitError
from evalkit.pipeline.latency import LatencySource, timing_record
from evalkit.pipeline.machine import Reading
from evalkit.pipeline.plan import Utterance, utterances
from evalkit.suites import Item

RATE = 16000
LAYOUTS = (Layout("fake", ("a",)),)
WHOLE = EngineSpec("whole", "1", LAYOUTS, RATE, "none", max_batch=8)
STREAMING = EngineSpec("streaming", "1", LAYOUTS, RATE, "none", streaming=True)


@dataclass
class Clock:
    """Stands still unless somebody works."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Machine:
    """A machine whose other processes use a share of its CPU time. `asleep` counts how long evalkit has idled."""

    clock: Clock
    busy: float | None = 0.0  # CPU seconds of others per second
    load: float | None = 0.5
    used: float = 0.0
    last: float = 100.0
    asleep: float = 0.0

    def look(self) -> Reading:
        self.used += (self.busy or 0.0) * (self.clock.now - self.last)
        self.last = self.clock.now
        return Reading(self.clock.now, None if self.busy is None else self.used, self.load)

    def sleep(self, seconds: float) -> None:
        self.asleep += seconds
        self.clock.work(seconds)


def tone(seconds: float) -> torch.Tensor:
    return 0.5 * torch.sin(torch.arange(round(seconds * RATE)) * 0.1)


@dataclass
class Whole:
    """Takes `costs[text]` seconds, by default half a second, for one second of audio."""

    clock: Clock
    spec: EngineSpec = WHOLE
    costs: dict[str, list[float]] = field(default_factory=dict)  # one after the other; the last for ever
    spoken: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None

    def load(self, weights: Mapping[str, torch.Tensor]) -> str:
        return "digest"

    def weights(self) -> Mapping[str, torch.Tensor]:
        return {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        return Voice("fake", "digest")

    def synthesize(self, requests: Sequence[Request]) -> list[Speech]:
        self.watch()
        self.sizes.append(len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Speech:
        self.spoken.append(request.text)
        if request.text.startswith("explode"):
            raise RuntimeError("a bug in the engine")
        if request.text == "refuse":
            self.clock.work(0.1)
            return Speech(request.id, status="too_long", reason="Too long.")
        costs = self.costs.get(request.text, [0.5])
        self.clock.work(costs.pop(0) if len(costs) > 1 else costs[0])
        return Speech(request.id, tone(1.0), seconds=99.0)


@dataclass
class Streaming(Whole):
    """Gives chunks: (seconds that it takes, seconds of its audio) each, and cleans up for 10 ms."""

    spec: EngineSpec = STREAMING
    chunks: tuple[tuple[float, float], ...] = ((0.4, 0.5), (0.1, 0.25), (0.2, 0.25))

    def stream(self, request: Request) -> Iterator[torch.Tensor]:
        self.spoken.append(request.text)
        if request.text == "refuse":
            self.clock.work(0.1)
            raise EvalkitError("This text cannot be spoken.")
        for cost, seconds in self.chunks:
            self.clock.work(cost)
            yield tone(seconds)
            if request.text.startswith("explode"):
                raise RuntimeError("a bug in the engine")
        self.clock.work(0.01)


def plan(texts: Sequence[str]) -> list[Utterance]:
    made = [Item(id=f"i{n}", text=text, spoken=text, entities=(), tags=()) for n, text in enumerate(texts)]
    return utterances(made, 1, 0)


def source_of(engine: Whole, planned: Sequence[Utterance], machine: Machine, said: list[str]) -> LatencySource:
    return LatencySource(
        engine,
        None,
        {},
        planned=planned,
        record=timing_record(engine.spec, "cpu", latency=True),
        say=said.append,
        clock=machine.clock,
        look=machine.look,
        sleep=machine.sleep,
    )
