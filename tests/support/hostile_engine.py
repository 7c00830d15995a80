"""An engine that does what its text says: the ways in which a worker can go wrong."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.engines import Asset, EngineSpec, Environment, Layout, Option, Request, Setup, Speech, Voice
from evalkit.engines.base import EngineGoneError, StreamError
from evalkit.errors import EvalkitError


class Hostile:
    spec = EngineSpec(
        name="hostile",
        version="1",
        layouts=(Layout("hostile", ("pitch",)),),
        sample_rate=8000,
        front_end="none",
        options={"gain": Option(1.0, "factor")},
        assets={"words": Asset("a file of words", names=("words.txt",), required=False)},
        streaming=True,
        voice="any file",
        phonemes=True,
        environment=Environment("hostile", {}, "hostile_requirements:requirements.txt"),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.loaded: dict[str, Tensor] = {}
        self.words = ""
        self.notes: tuple[str, ...] = ()

    def set_up(self, setup: Setup) -> None:
        if "words" in setup.assets:
            self.words = setup.assets["words"].read_text()
        if self.words == "die":
            os._exit(7)

    def load(self, weights: Mapping[str, Tensor]) -> str:
        if set(weights) != {"pitch.hertz"}:
            raise EvalkitError(f"Not weights of hostile: {sorted(weights)}.")
        self.loaded = {key: tensor.clone() for key, tensor in weights.items()}
        self.notes = ("loaded anew",)
        return fingerprint(self.loaded)

    def weights(self) -> Mapping[str, Tensor]:
        return self.loaded

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        content = reference.read_bytes()
        return Voice(reference.name, f"{content.hex()[:64]}/{text}", data=1 + len(content) % 3)

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        for request in requests:
            self._suffer(request.text, len(requests))
        return [
            Speech(
                r.id, self._tone(r), phonemes=r.phonemes or " ".join(r.readings.values()) or r.text, details={"n": 1}
            )
            for r in requests
        ]

    def stream(self, request: Request) -> Iterator[Tensor]:
        while request.text in ("drip", "flood"):  # without end
            time.sleep(0.1 if request.text == "drip" else 0)
            yield torch.ones(100)
        for chunk in self._tone(request).split(1000):
            self._suffer(request.text, 1)
            yield chunk

    def _tone(self, request: Request) -> Tensor:
        samples = torch.arange(400 * len(request.text)) / self.spec.sample_rate
        gain = float(request.options.get("gain", 1.0)) * (request.voice.data if request.voice else 1)
        return gain * torch.sin(2 * torch.pi * self.loaded["pitch.hertz"] * samples)

    def _suffer(self, text: str, together: int) -> None:
        match text:
            case "exit":
                print("the last words of the engine", file=sys.stderr)
                os._exit(3)
            case "segfault":
                ctypes.string_at(0)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(3600)
            case "gone":
                raise EngineGoneError("nobody is there")
            case "broken":
                raise StreamError("truncated", "no end in sight")
            case "raise":
                raise ValueError("no such sound")
            case "big" if together > 1:
                raise torch.OutOfMemoryError("too much at once")
            case "noise":
                print("a package that prints to standard output\n" * 5000)
                os.write(1, b"\x00\x01\x02")
