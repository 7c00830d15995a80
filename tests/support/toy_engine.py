"""An engine that has everything an engine can have, small and right; tests of the conformance suite break it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint, write_checkpoint
from evalkit.engines import Asset, EngineSpec, Example, Layout, Option, Request, Setup, Speech, Voice
from evalkit.errors import EvalkitError, some
from metrics.options import complete

LETTERS = "abcdefghijklmnopqrstuvwxyz "
RATE = 8000
HOP = 400
SHAPES = {
    "encoder.table": (len(LETTERS), 4),
    "encoder.bias": (4,),
    "decoder.matrix": (4, 3),
    "decoder.level": (),
}


class Toy:
    """Three sines and some noise per letter, in a voice that is a vector of four numbers."""

    spec = EngineSpec(
        name="toy",
        version="1",
        layouts=(Layout("toy", sections=("encoder", "decoder")),),
        sample_rate=RATE,
        front_end="letters",
        options={"speed": Option(1.0, "how fast", low=0.5, high=2.0), "accent": Option("us", "which", choices=("us",))},
        max_batch=6,
        batch_exact=True,
        streaming=True,
        stochastic=True,
        needs_voice=True,
        needs_voice_text=True,
        voice="a vector (.npy)",
        phonemes=True,
        assets={"alphabet": Asset("its alphabet", ("alphabet.txt",))},
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.letters = ""
        self.loaded: dict[str, Tensor] = {}

    def set_up(self, setup: Setup) -> None:
        self.letters = setup.assets["alphabet"].read_text()

    def load(self, weights: Mapping[str, Tensor]) -> str:
        self.check_fit(weights)
        self.put(weights)
        return self.digest()

    def check_fit(self, weights: Mapping[str, Tensor]) -> None:
        shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
        if wrong := [key for key in SHAPES | shapes if SHAPES.get(key) != shapes.get(key)]:
            raise EvalkitError(f"Not weights of toy: {some(wrong)}.")

    def put(self, weights: Mapping[str, Tensor]) -> None:
        self.loaded = {key: weights[key].clone() for key in SHAPES}

    def digest(self) -> str:
        return fingerprint(self.loaded)

    def weights(self) -> Mapping[str, Tensor]:
        return self.loaded

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        if not reference.is_file():
            raise EvalkitError(f"There is no voice {reference}.")
        content = hashlib.sha256(reference.read_bytes() + (text or "").encode()).hexdigest()
        return Voice(reference.stem, content, torch.from_numpy(np.load(reference)))

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return [self.speak(request) for request in requests]

    def stream(self, request: Request) -> Iterator[Tensor]:
        if refused := self.refusal(request):
            raise EvalkitError(refused.reason or "")
        noise = self.generator(request)
        for letter in self.read(request):
            yield self.sound(letter, request, noise)

    def speak(self, request: Request) -> Speech:
        if refused := self.refusal(request):
            return refused
        read, noise = self.read(request), self.generator(request)
        audio = torch.cat([self.sound(letter, request, noise) for letter in read])
        details = {"frames": [1] * len(read), "hop": self.hop(request)}
        return Speech(request.id, audio, phonemes=read, seconds=0.1, details=details)

    def refusal(self, request: Request) -> Speech | None:
        if not self.read(request).strip():
            return Speech(request.id, status="empty_text", reason="No letters.")
        if request.voice is None:
            return Speech(request.id, status="bad_voice", reason="No voice.")
        try:
            complete("toy", self.spec.options, request.options)
        except ValueError as error:
            return Speech(request.id, status="failed", reason=str(error))
        return None

    def read(self, request: Request) -> str:
        text = request.text if request.phonemes is None else request.phonemes
        return "".join(letter for letter in text.lower() if letter in self.letters)

    def hop(self, request: Request) -> int:
        return int(HOP / request.options.get("speed", 1.0))

    def generator(self, request: Request) -> torch.Generator:
        return torch.Generator().manual_seed(request.seed)

    def sound(self, letter: str, request: Request, noise: torch.Generator) -> Tensor:
        assert request.voice is not None
        state = self.loaded["encoder.table"][self.letters.index(letter)] + self.loaded["encoder.bias"]
        hertz = 300 + 100 * (torch.tanh(state + request.voice.data) @ self.loaded["decoder.matrix"])
        time = torch.arange(self.hop(request)) / RATE
        sines = torch.sin(2 * torch.pi * hertz[:, None] * time).mean(0)
        return self.loaded["decoder.level"] * (sines + 0.01 * torch.randn(len(time), generator=noise))

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        generator = torch.Generator().manual_seed(seed)
        weights = {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
        weights["decoder.level"] = torch.tensor(0.3)
        write_checkpoint(folder / "toy.pth", weights, sections=("encoder", "decoder"))
        np.save(folder / "voice.npy", np.array([0.1, -0.5, 0.3, 0.9], dtype=np.float32))
        (folder / "alphabet.txt").write_text(LETTERS)
        texts = ("A small voice", "Yes", "Still waters run", "Do not count your chickens")
        return Example(folder / "toy.pth", texts, str(folder / "voice.npy"), "a voice", ("speed=1.5",))


def changed(**values: Any) -> type[Toy]:
    """A Toy whose spec says something else."""
    from dataclasses import replace

    return type("Changed", (Toy,), {"spec": replace(Toy.spec, **values)})
