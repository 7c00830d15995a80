"""The engine on trial: two of them loaded with the example, and what they say, spoken once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from evalkit.checkpoints import canonical, read_checkpoint
from evalkit.engines.base import Closing, Engine, EngineSpec, Example, FileEngine, Request, Speech, Voice
from evalkit.engines.conformance.findings import FaultError, NotApplicableError
from evalkit.engines.conformance.preparing import setup_of
from evalkit.errors import EvalkitError

SEED = 100


class Trial:
    """What the checks share. Engines are costly to make, so there are two.

    `engine` holds the example's weights from beginning to end; `other` is for checks that load something else, and
    holds anything between them.
    """

    def __init__(self, make: Callable[[], Engine], example: Example) -> None:
        self.example = example
        self._make = make
        self._made: list[Engine] = []
        self._voices: dict[int, Voice | None] = {}
        self._spoken: dict[int, Speech] = {}
        self._failed = False

    @cached_property
    def engine(self) -> Engine:
        """The one that is judged. Raises what making or loading it raises, and NotApplicableError from then on."""
        if self._failed:
            raise NotApplicableError("not tried, since the engine cannot be made and loaded")
        self._failed = True
        engine = self.new()
        self.load(engine)
        self._failed = False
        return engine

    @cached_property
    def other(self) -> Engine:
        return self.new()

    def new(self) -> Engine:
        engine = self._make()
        self._made.append(engine)
        return engine

    @property
    def spec(self) -> EngineSpec:
        return self.engine.spec

    def load(self, engine: Engine, weights: Mapping[str, Tensor] | None = None) -> str:
        """Load the given weights, or the example's; returns the digest, "" for an engine without weights."""
        if engine.spec.weights == "none":
            return ""
        if engine.spec.weights == "file":
            if not isinstance(engine, FileEngine) or self.example.checkpoint is None:
                raise FaultError(
                    'the spec says weights="file", so there must be load_file and a checkpoint in the example'
                )
            return engine.load_file(self.example.checkpoint)
        return engine.load(dict(self.weights if weights is None else weights))

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The example's canonical weights."""
        if self.example.checkpoint is None:
            raise FaultError("the example has no checkpoint, although the engine loads tensors")
        return dict(canonical(read_checkpoint(self.example.checkpoint).tensors).tensors)

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        """Keys by first component, largest tensor first; by the first two where all keys share the first."""
        depth = 1 if len({key.split(".")[0] for key in self.weights}) > 1 else 2
        found: dict[str, list[str]] = {}
        for key in sorted(self.weights, key=lambda key: (-self.weights[key].numel(), key)):
            found.setdefault(".".join(key.split(".")[:depth]), []).append(key)
        return found

    def need_tensors(self) -> None:
        if self.spec.weights != "tensors":
            raise NotApplicableError(f'the engine takes no tensors (spec.weights is "{self.spec.weights}")')

    @cached_property
    def options(self) -> dict[str, Any]:
        return dict(setup_of(self.spec, self.example).options)

    @property
    def texts(self) -> tuple[str, ...]:
        return self.example.texts

    @cached_property
    def shortest(self) -> int:
        """Index of the shortest text."""
        return min(range(len(self.texts)), key=lambda index: len(self.texts[index]))

    def voice(self, engine: Engine) -> Voice | None:
        """The example's voice as this engine prepared it."""
        if self.example.voice is None:
            return None
        if id(engine) not in self._voices:
            self._voices[id(engine)] = engine.prepare_voice(Path(self.example.voice), self.example.voice_text)
        return self._voices[id(engine)]

    def request(self, index: int, engine: Engine | None = None, **changes: Any) -> Request:
        """The example's text of this index, with a seed of its own and the example's options and voice."""
        given: dict[str, Any] = {
            "id": f"item-{index}",
            "text": self.texts[index % len(self.texts)],
            "seed": SEED + index,
            "voice": self.voice(engine or self.engine),
            "options": self.options,
        }
        return Request(**(given | changes))

    def speak(self, requests: Sequence[Request], engine: Engine | None = None) -> list[Speech]:
        """Speak in calls of `spec.max_batch` at most. Raises FaultError unless each request is answered, in order."""
        engine = engine or self.engine
        size = max(1, engine.spec.max_batch)
        speeches: list[Speech] = []
        for start in range(0, len(requests), size):
            part = requests[start : start + size]
            spoken = list(engine.synthesize(part))
            ids = [speech.id for speech in spoken]
            if ids != [request.id for request in part]:
                raise FaultError(f"{len(part)} requests {[r.id for r in part]} were answered by {len(spoken)}: {ids}")
            speeches.extend(spoken)
        return speeches

    def one(self, request: Request, engine: Engine | None = None) -> Speech:
        return self.speak([request], engine)[0]

    def alone(self, index: int) -> Speech:
        """What the judged engine says to `request(index)`, spoken alone, once. Raises FaultError unless it speaks."""
        if index not in self._spoken:
            speech = self.one(self.request(index))
            if speech.status != "ok":
                raise FaultError(
                    f"the example's text {self.texts[index]!r} gets the status {speech.status}: {speech.reason}"
                )
            self._spoken[index] = speech
        return self._spoken[index]

    def close(self) -> None:
        for engine in self._made:
            if isinstance(engine, Closing):
                engine.close()


def first_line(error: BaseException) -> str:
    """An exception as part of a sentence."""
    line = (str(error).splitlines() or [""])[0]
    return line if isinstance(error, FaultError | EvalkitError) else f"{type(error).__name__}: {line}"
