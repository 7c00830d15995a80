"""The protocol between evalkit and a text-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from metrics.options import Option

Status = Literal["ok", "empty_text", "unknown_symbols", "too_long", "bad_voice", "failed", "not_finite"]


@dataclass(frozen=True)
class Layout:
    """How an engine's checkpoints name their tensors.

    sections: top-level keys that must all be there; markers: canonical full keys ("encoder.embedding.weight") that
    tell this layout from others with the same sections.
    """

    name: str
    sections: tuple[str, ...]
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineSpec:
    """What an engine declares about itself, readable without loading anything."""

    name: str
    version: str
    layouts: tuple[Layout, ...]
    sample_rate: int  # Hz
    front_end: str  # name and version of what turns text into symbols
    options: Mapping[str, Option] = field(default_factory=dict)
    max_batch: int = 32
    batch_exact: bool = False  # one by one and in any batch give the same speech (float32, 1e-4 on features)
    streaming: bool = False
    stochastic: bool = False
    reads_digits: bool = False  # False: it is given the item's spoken form
    needs_voice: bool = False  # True: a reference clip is required


@dataclass(frozen=True)
class Voice:
    """What an engine needs beside weights to sound like somebody. `digest` is part of the system under test."""

    name: str
    digest: str
    data: Any = None


@dataclass(frozen=True)
class Request:
    """One sentence to speak. `phonemes` overrides the front end. The seed belongs to this request alone."""

    id: str
    text: str
    seed: int
    voice: Voice | None = None
    phonemes: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Speech:
    """What came of a request.

    audio: float32 [samples] at the engine's rate, on the engine's device, empty unless status is "ok"; phonemes: what
    was really read, where the engine can tell; seconds: wall time of its synthesis (a batch's time is divided among
    its clips by their length); reason: one sentence when the status is not "ok".
    """

    id: str
    audio: Tensor = field(default_factory=lambda: torch.zeros(0))
    status: Status = "ok"
    reason: str | None = None
    phonemes: str | None = None
    seconds: float | None = None
    first_chunk_s: float | None = None


@runtime_checkable
class Engine(Protocol):
    """A text-to-speech system. The constructor takes `device: str = "cpu"` and loads nothing."""

    spec: EngineSpec

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical weights strictly and return the digest of what is loaded.

        Raises EvalkitError naming the keys that are missing, extra or mis-shaped.
        """
        ...

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """Make a voice of a reference clip; outside every timing."""
        ...

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak; same order and length as the requests. A bad item gets a status, never an exception."""
        ...


class StreamingEngine(Engine, Protocol):
    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks of float32 audio [samples] as they become ready."""
        ...
