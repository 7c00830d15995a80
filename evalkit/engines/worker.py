"""An engine in a process of its own: `python -m evalkit.engines.worker MODULE:CLASS DEVICE READ_FD WRITE_FD`.

It answers one message after another until the pipe is closed. A reply's "kind" is "ok", "error" (an EvalkitError),
"gone" (an EngineGoneError), "broken" (a StreamError), "out_of_memory", "exception", and "chunk" while it streams.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.engines import wire
from evalkit.engines.base import (
    Closing,
    EngineGoneError,
    ExampleEngine,
    FileEngine,
    Setup,
    SetUpEngine,
    StreamError,
    StreamingEngine,
    Voice,
)
from evalkit.engines.framing import Channel, ChannelClosedError
from evalkit.errors import EvalkitError

Reply = tuple[dict[str, Any], list[Tensor]]


class Worker:
    """Turns messages into calls of one engine."""

    def __init__(self, engine: Any, channel: Channel, messages: queue.SimpleQueue[Mapping[str, Any] | None]) -> None:
        self.engine, self.channel, self.messages = engine, channel, messages
        self.voices: dict[str, Voice] = {}

    def answer(self, message: Mapping[str, Any]) -> Reply:
        """Do what the message asks for. Raises whatever the engine raises."""
        operation: Callable[[Mapping[str, Any]], Reply] = getattr(self, f"do_{message['do']}")
        return operation(message)

    def do_hello(self, message: Mapping[str, Any]) -> Reply:
        torch.set_num_threads(int(message["threads"]))
        return {**self._self(), "python": sys.version.split()[0], "torch": torch.__version__}, []

    def do_set_up(self, message: Mapping[str, Any]) -> Reply:
        if isinstance(self.engine, SetUpEngine):
            assets = {name: Path(path) for name, path in message["assets"].items()}
            self.engine.set_up(Setup(assets, message["options"]))
        return self._self(), []

    def do_load(self, message: Mapping[str, Any]) -> Reply:
        from safetensors.torch import load_file

        digest = self.engine.load(load_file(message["path"]))
        return {**self._self(), "digest": digest}, []

    def do_load_file(self, message: Mapping[str, Any]) -> Reply:
        if not isinstance(self.engine, FileEngine):
            raise EvalkitError("This engine reads no files itself.")
        return {"digest": self.engine.load_file(Path(message["path"])), **self._self()}, []

    def do_weights(self, message: Mapping[str, Any]) -> Reply:
        write_weights(self.engine.weights(), Path(message["path"]))
        return {}, []

    def do_prepare_voice(self, message: Mapping[str, Any]) -> Reply:
        voice = self.engine.prepare_voice(Path(message["reference"]), message["text"])
        self.voices[voice.digest] = voice
        return {**self._self(), "name": voice.name, "digest": voice.digest}, []

    def do_synthesize(self, message: Mapping[str, Any]) -> Reply:
        speeches = self.engine.synthesize([wire.request_in(request, self.voices) for request in message["requests"]])
        return {"speeches": [wire.speech_out(s) for s in speeches]}, [speech.audio for speech in speeches]

    def do_stream(self, message: Mapping[str, Any]) -> Reply:
        if not isinstance(self.engine, StreamingEngine):
            raise EvalkitError("This engine does not stream.")
        for chunk in self.engine.stream(wire.request_in(message["request"], self.voices)):
            self.channel.send({"id": message["id"], "kind": "chunk"}, [chunk])
            if not self.messages.empty():  # the caller asks for something else and hears no more of this
                break
        return {}, []

    def do_example(self, message: Mapping[str, Any]) -> Reply:
        if not isinstance(self.engine, ExampleEngine):
            raise EvalkitError("This engine has no example of itself.")
        return {"example": wire.example_out(self.engine.example(Path(message["folder"]), message["seed"]))}, []

    def _self(self) -> dict[str, Any]:
        notes = list(getattr(self.engine, "notes", ()))
        identity = dict(getattr(self.engine, "identity", {}))
        return {"spec": wire.spec_out(self.engine.spec), "notes": notes, "identity": identity}


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """As safetensors. Tied tensors are written twice: the format knows no sharing."""
    from safetensors.torch import save_file

    save_file({key: tensor.detach().cpu().contiguous().clone() for key, tensor in weights.items()}, path)


def serve(worker: Worker) -> None:
    """Answer until the caller is gone. A reply carries the id of its message."""
    while (message := worker.messages.get()) is not None:
        try:
            header, clips = worker.answer(message)
            header = {"kind": "ok", **header}
        except ChannelClosedError:
            return
        except Exception as error:
            header, clips = _complaint(error), []
        worker.channel.send({"id": message["id"], **header}, clips)


def _complaint(error: Exception) -> dict[str, Any]:
    if isinstance(error, EngineGoneError):
        return {"kind": "gone", "message": str(error)}
    if isinstance(error, StreamError):
        return {"kind": "broken", "status": error.status, "message": str(error)}
    if isinstance(error, EvalkitError):
        return {"kind": "error", "message": str(error)}
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {"kind": "out_of_memory", "message": str(error)}
    traceback.print_exc()
    return {"kind": "exception", "message": f"{type(error).__name__}: {error}"}


def _listen(channel: Channel, messages: queue.SimpleQueue[Mapping[str, Any] | None]) -> None:
    """Read messages in a thread, so that a worker whose caller is gone ends, whatever it is doing."""
    try:
        while True:
            messages.put(channel.receive()[0])
    except (ChannelClosedError, OSError):
        os._exit(0)


def main() -> None:
    target, device, reading, writing = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, which then closes the pipe
    channel = Channel(int(reading), int(writing))
    messages: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, messages), daemon=True).start()
    module, _, name = target.partition(":")
    try:
        engine = getattr(import_module(module), name)(device=device)
    except Exception as error:
        message = messages.get()
        channel.send({"id": message["id"] if message else 0, **_complaint(error)})
        return
    try:
        serve(Worker(engine, channel, messages))
    finally:
        if isinstance(engine, Closing):
            engine.close()


if __name__ == "__main__":
    main()
