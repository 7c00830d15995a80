"""The protocol between evalkit and a text-to-speech engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from evalkit.errors import EvalkitError
from metrics.options import Option

Status = Literal[
    "ok",
    "empty_text",
    "unknown_symbols",
    "too_long",
    "bad_voice",
    "failed",
    "not_finite",
    "truncated",  # the model came to its limit before the text's end
    "crashed",  # the three below: an engine in a process of its own
    "timed_out",
    "out_of_memory",
]


class EngineGoneError(EvalkitError):
    """Nothing can be spoken any more, whatever the text: no server answers, the disk is full. A run ends and keeps
    what it has; no utterance is to blame, and none is recorded."""


class StreamError(EvalkitError):
    """A stream that came to no end. status: as a Speech would have it."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status


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
class Asset:
    """A file or folder that an engine needs beside the weights: a vocabulary, a vocoder, a codec.

    names: what it is called in the checkpoint's folder, or in the folder that a checkpoint file lies in; "." is that
    folder itself. hub: (repository, file) as it may lie in the local Hugging Face cache; a run never downloads it.
    The user names it with `--set NAME=PATH`. Its content is part of the system under test.
    """

    description: str
    names: tuple[str, ...] = ()
    hub: tuple[str, str] | None = None
    required: bool = True


@dataclass(frozen=True)
class Environment:
    """Packages that an engine cannot share with others: they get an environment (`evalkit engines add NAME`).

    packages: distribution -> the version that the engine was tested with; where all are installed at that version,
    the engine can run in process. requirements: "package:file", a complete list of pinned requirements in a package.
    """

    name: str
    packages: Mapping[str, str]
    requirements: str


@dataclass(frozen=True)
class EngineSpec:
    """What an engine declares about itself, readable without loading anything or importing the engine's packages.

    An engine in use may have a spec of its own in which `front_end`, `sample_rate` or `layouts` are known better.
    """

    name: str
    version: str
    layouts: tuple[Layout, ...]
    sample_rate: int  # Hz
    front_end: str  # name and version of what turns text into symbols
    options: Mapping[str, Option] = field(default_factory=dict)
    argument: str = ""  # the option that stands for ARGUMENT in `--engine "NAME: ARGUMENT"`
    operating: tuple[str, ...] = ()  # options that change nothing of what is spoken: not part of a run's identity
    max_batch: int = 32
    batch_exact: bool = False  # alone and in any batch the same float32 audio, to 1e-4 of full scale
    streaming: bool = False
    stochastic: bool = False
    timed: bool = True  # False: nothing is synthesised, so there is nothing to time
    reads_digits: bool = False  # False: it is given the item's spoken form
    needs_voice: bool = False  # True: a voice is required
    voice_is_clip: bool = True  # whether it is a clip of speech; a run then takes its reference clip if none is named
    voice: str = ""  # what --voice takes, for people: "a style pack (.pt)"; "" where the weights hold the only voice
    needs_voice_text: bool = False  # True: what is said in the voice's clip must be known
    phonemes: bool = False  # whether Request.phonemes is spoken
    readings: bool = False  # whether Request.readings is spoken
    weights: Literal["tensors", "file", "none"] = "tensors"  # "file": load_file; "none": no checkpoint, no load
    suffixes: tuple[str, ...] = ()  # of the checkpoints that load_file reads, such as ".gguf"
    assets: Mapping[str, Asset] = field(default_factory=dict)
    environment: Environment | None = None


@dataclass(frozen=True)
class Voice:
    """What an engine needs beside weights to sound like somebody. `digest` is part of the system under test."""

    name: str
    digest: str
    data: Any = None


@dataclass(frozen=True)
class Request:
    """One sentence to speak. The seed belongs to this request alone.

    phonemes: override the front end for the whole text, in the engine's own symbols; readings: spelling in the text ->
    ARPAbet reading ("S AH1 N") that overrides the front end for these words, where the spec says that it is spoken.
    """

    id: str
    text: str
    seed: int
    voice: Voice | None = None
    phonemes: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    readings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Speech:
    """What came of a request.

    audio: float32 [samples] at the engine's rate, on the engine's device, empty unless status is "ok"; phonemes: what
    was really read, where the engine can tell; seconds: wall time of its synthesis (a batch's time is divided among
    its clips by their length); reason: one sentence when the status is not "ok"; details: what else the engine knows,
    as JSON has it. Used by evalkit: "frames" (list of int, one per symbol) with "hop" (samples per frame), from which
    the conformance suite tells whether the length is right; "watermark" (bool); "dropped" (symbols left out).
    """

    id: str
    audio: Tensor = field(default_factory=lambda: torch.zeros(0))
    status: Status = "ok"
    reason: str | None = None
    phonemes: str | None = None
    seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """What an engine is set up with before it loads weights. options: every option with its value."""

    assets: Mapping[str, Path] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Engine(Protocol):
    """A text-to-speech system. The constructor takes `device: str = "cpu"` and loads nothing.

    Optional, used where it is there: `set_up`, `load_file`, `stream` and `close` (see the protocols below),
    `notes: Sequence[str]` (sentences for the user about what was loaded, recorded in the manifest),
    `identity: Mapping[str, str]` (what tells one system from another where there are no weights: program, address).
    """

    spec: EngineSpec

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical weights strictly and return the digest of what is loaded.

        Raises EvalkitError naming the keys that are missing, extra or mis-shaped. A second load replaces the first.
        """
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """What is loaded, by canonical keys, read back from the network that speaks; bit for bit what `load` got."""
        ...

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """Make a voice of what --voice names, for most engines a clip in which `text` is said; outside every timing."""
        ...

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak; same order and length as the requests. A bad item gets a status, never an exception.

        Raises EngineGoneError where nothing can be spoken any more.
        """
        ...


@runtime_checkable
class SetUpEngine(Protocol):
    """An engine with assets, or with options that decide what is built."""

    def set_up(self, setup: Setup) -> None:
        """Called once, before `load`. Raises EvalkitError for an asset that cannot be used."""
        ...


@runtime_checkable
class FileEngine(Protocol):
    """An engine whose runtime reads the checkpoint itself (`spec.weights == "file"`)."""

    def load_file(self, path: Path) -> str:
        """Load the file and return a digest of its content."""
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that gives audio before all of it is made (`spec.streaming`)."""

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks of float32 audio [samples] as they become ready. Raises EvalkitError on a bad request: a StreamError
        where another status than "failed" says more, EngineGoneError where nothing can be spoken any more."""
        ...


@runtime_checkable
class Closing(Protocol):
    """An engine that holds a process or a connection."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Example:
    """A small system with random weights that an engine makes of itself, to be tried without a download.

    checkpoint: what `evalkit run` would be given, None for an engine without weights; voice: what --voice names;
    texts: that it can speak, at least four of different length; settings: `--set` values, assets among them.
    """

    checkpoint: Path | None
    texts: tuple[str, ...]
    voice: str | None = None
    voice_text: str | None = None
    settings: tuple[str, ...] = ()


@runtime_checkable
class ExampleEngine(Protocol):
    """An engine that can show that it works where it is installed (`evalkit engines doctor`, the conformance suite)."""

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        """Write an example into an empty folder. It speaks within seconds on one CPU core, in the real classes."""
        ...
