"""An engine that runs in a process of its own: the same protocol, and a crash costs an item and not the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines import wire
from evalkit.engines.base import (
    EngineGoneError,
    EngineSpec,
    Example,
    Request,
    Setup,
    Speech,
    Status,
    StreamError,
    Voice,
)
from evalkit.engines.process import WorkerDiedError, WorkerProcess, WorkerTooSlowError
from evalkit.engines.temporary import temporary_folder
from evalkit.engines.worker import write_weights
from evalkit.errors import EvalkitError

START_S = 600.0  # importing an engine's packages from a cold disk, and reading its weights
UTTERANCE_S = 900.0  # a large model on a CPU takes minutes a sentence
BATCH_S = 3600.0  # of a batch whose speed is not known yet
PATIENCE = 20  # times what the slowest batch so far took for as much text
LEAST_S = 60.0
HOPELESS = 3  # deaths, each at an utterance spoken alone, before anything was ever spoken


class RemoteEngine:
    """Speaks through a worker, and starts another one, with the same weights and voices, when that dies.

    declared: the spec of the engine's class; target: "module:Class"; python: interpreter of the environment;
    utterance_s: how long one utterance may take. A batch may take as many times that, at most an hour, and once a
    batch was spoken, twenty times what that took for as much text. Close it, or use it as a context manager.
    """

    def __init__(
        self, declared: EngineSpec, target: str, python: Path, device: str = "cpu", utterance_s: float = UTTERANCE_S
    ) -> None:
        self.spec = declared
        self.notes: Sequence[str] = ()
        self.identity: Mapping[str, str] = {}
        self.restarts = 0
        self.versions: Mapping[str, str] = {}
        self._declared, self._target, self._python, self._device = declared, target, python, device
        self._utterance_s = utterance_s
        self._held = ExitStack()
        self._folder = self._held.enter_context(temporary_folder())
        self._history: list[dict[str, Any]] = []  # what brings a new worker to where the last one was
        self._loads = 0
        self._slowest = 0.0  # seconds for a character
        self._deaths = 0
        try:
            self._process = self._start()
        except BaseException:
            self._held.close()
            raise

    def set_up(self, setup: Setup) -> None:
        assets = {name: str(path) for name, path in setup.assets.items()}
        self._remembered({"do": "set_up", "assets": assets, "options": dict(setup.options)})

    def load(self, weights: Mapping[str, Tensor]) -> str:
        self._loads += 1  # a file each: if these weights are refused, a new worker still finds the ones before
        path = self._folder / f"weights-{self._loads}.safetensors"
        write_weights(weights, path)
        try:
            digest = str(self._remembered({"do": "load", "path": str(path)})["digest"])
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        for past in self._folder.glob("weights-*.safetensors"):
            if past != path:
                past.unlink()
        return digest

    def load_file(self, path: Path) -> str:
        return str(self._remembered({"do": "load_file", "path": str(path)})["digest"])

    def weights(self) -> Mapping[str, Tensor]:
        """Read back through a file; a copy, not the worker's own tensors."""
        from safetensors.torch import load_file

        path = self._folder / "read-back.safetensors"
        self._command({"do": "weights", "path": str(path)})
        loaded: Mapping[str, Tensor] = load_file(path)
        return loaded

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        reply = self._remembered({"do": "prepare_voice", "reference": str(reference), "text": text})
        return Voice(reply["name"], reply["digest"])

    def example(self, folder: Path, seed: int) -> Example:
        return wire.example_in(self._command({"do": "example", "folder": str(folder), "seed": seed})["example"])

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """As the protocol says. Raises torch.OutOfMemoryError for a batch that does not fit, as in process."""
        if not requests:
            return []
        try:
            speeches = self._speak(requests)
        except WorkerDiedError as died:
            self._restart()
            if len(requests) == 1:
                self._count_death(died)
                return [_lost(requests[0], died)]
            if died.signal_number == 9:
                raise torch.OutOfMemoryError(f"The engine's process ended: {died}") from died
            middle = len(requests) // 2
            return [*self.synthesize(requests[:middle]), *self.synthesize(requests[middle:])]
        return speeches

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks as the worker makes them, all of them within the time of one utterance.

        Raises EvalkitError if it refuses the request, StreamError if it dies or takes longer.
        """
        began = time.monotonic()
        try:
            self._process.send({"do": "stream", "request": wire.request_out(request)})
            while True:
                reply, clips = self._process.receive(self._utterance_s, since=began)
                if reply["kind"] != "chunk":
                    _raise(reply)
                    self._slowest = max(self._slowest, (time.monotonic() - began) / _characters([request]))
                    return
                yield from clips
        except WorkerDiedError as died:
            self._restart()
            self._count_death(died)
            lost = _lost(request, died)
            raise StreamError(lost.status, str(lost.reason)) from died

    def close(self) -> None:
        self._process.stop()
        self._held.close()

    def __enter__(self) -> RemoteEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _speak(self, requests: Sequence[Request]) -> list[Speech]:
        limit = self._limit(requests)
        began = time.monotonic()
        self._process.send({"do": "synthesize", "requests": [wire.request_out(request) for request in requests]})
        reply, clips = self._process.receive(limit)
        _raise(reply)
        speeches = wire.speeches_in(reply["speeches"], clips)
        self._slowest = max(self._slowest, (time.monotonic() - began) / _characters(requests))
        return speeches

    def _limit(self, requests: Sequence[Request]) -> float:
        first = min(self._utterance_s * len(requests), max(BATCH_S, self._utterance_s))
        if not self._slowest:
            return first
        return min(first, max(LEAST_S, PATIENCE * self._slowest * _characters(requests)))

    def _start(self) -> WorkerProcess:
        try:
            process = WorkerProcess(self._python, self._target, self._device)
        except WorkerDiedError as died:
            raise EvalkitError(f"The engine '{self._declared.name}' cannot start: {died}.") from died
        self._process = process
        try:
            reply = self._command({"do": "hello", "threads": torch.get_num_threads()})
        except BaseException:
            process.stop()
            raise
        self.versions = {"python": reply["python"], "torch": reply["torch"]}
        return process

    def _count_death(self, died: WorkerDiedError) -> None:
        """Raises EngineGoneError when it dies again and again before it ever spoke: then no utterance is to blame."""
        self._deaths += 1
        if self._deaths >= HOPELESS and not self._slowest:
            raise EngineGoneError(
                f"The engine '{self.spec.name}' died at {self._deaths} utterances before it spoke anything ({died}): "
                f"see evalkit engines doctor {self.spec.name}."
            )

    def _restart(self) -> None:
        """Raises EngineGoneError if a new worker does not come to where the last one was."""
        self._process.stop()
        self.restarts += 1
        try:
            self._process = self._start()
            for message in self._history:
                self._command(message)
        except (EvalkitError, RuntimeError) as error:
            raise EngineGoneError(str(error)) from error

    def _remembered(self, message: dict[str, Any]) -> dict[str, Any]:
        """A command that another worker would have to be given too; a new load replaces the last one."""
        reply = self._command(message)
        if message["do"] in ("load", "load_file", "set_up"):
            self._history = [past for past in self._history if past["do"] != message["do"]]
        self._history.append(message)
        return reply

    def _command(self, message: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._process.send(message)
            reply, _ = self._process.receive(START_S)
        except WorkerDiedError as died:
            self._process.stop()
            raise EvalkitError(
                f"The process of the engine '{self._declared.name}' died at '{message['do']}': {died}."
            ) from died
        _raise(reply)
        if "spec" in reply:
            self.spec = wire.spec_in(self._declared, reply["spec"])
            self.notes, self.identity = tuple(reply["notes"]), reply["identity"]
        return reply


def _raise(reply: Mapping[str, Any]) -> None:
    """What the worker's engine raised, raised here."""
    match reply["kind"]:
        case "error":
            raise EvalkitError(reply["message"])
        case "gone":
            raise EngineGoneError(reply["message"])
        case "broken":
            raise StreamError(reply["status"], reply["message"])
        case "out_of_memory":
            raise torch.OutOfMemoryError(reply["message"])
        case "exception":
            raise RuntimeError(reply["message"])


def _lost(request: Request, died: WorkerDiedError) -> Speech:
    if isinstance(died, WorkerTooSlowError):
        status: Status = "timed_out"
        return Speech(request.id, status=status, reason=f"The engine gave {died}; its process was started anew.")
    status = "out_of_memory" if died.signal_number == 9 else "crashed"
    return Speech(request.id, status=status, reason=f"The engine's process ended ({died}); it was started anew.")


def _characters(requests: Sequence[Request]) -> int:
    return max(1, sum(len(request.text) for request in requests))
