"""An engine: `beep` plays one sine per letter. Its weights are a pitch for each letter and the length of a beep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.engines import EngineSpec, Layout, Option, Request, Speech, Voice
from evalkit.errors import EvalkitError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHAPES = {"beep.hertz": (len(LETTERS),), "beep.seconds": ()}


class Beep:
    # Everything that evalkit may ask before a checkpoint is loaded: what its files look like, and what it promises.
    spec = EngineSpec(
        name="beep",
        version="1",
        layouts=(Layout("beep-1", sections=("beep",), markers=("beep.hertz",)),),
        sample_rate=16000,
        front_end="letters 1",
        options={"volume": Option(0.3, "peak of a beep, full scale is 1", low=0.0, high=1.0)},
        batch_exact=True,  # a sentence sounds the same alone and in a batch; evalkit's tests hold an engine to it
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.weights: dict[str, Tensor] = {}

    def load(self, weights: Mapping[str, Tensor]) -> str:
        # Strict: a checkpoint that loads only in part would speak, badly, and nobody would know why.
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        if found != SHAPES:
            wrong = sorted(name for name in SHAPES | found if SHAPES.get(name) != found.get(name))
            raise EvalkitError(f"Not weights of beep: {', '.join(wrong)} missing, extra or of another shape.")
        self.weights = {name: tensor.to(self.device) for name, tensor in weights.items()}
        return fingerprint(self.weights)  # of what was loaded, not of what was given

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        # beep has one voice; an engine that clones would encode the clip here, outside every timing.
        return Voice(reference.stem, hashlib.sha256(reference.read_bytes()).hexdigest())

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return [self._speak(request) for request in requests]

    def _speak(self, request: Request) -> Speech:
        # What cannot be spoken gets a status and a reason, never an exception: the rest of the batch must go on.
        letters = [letter for letter in request.text.lower() if letter in LETTERS]
        if not letters:
            return Speech(request.id, status="empty_text", reason="The text has no letters.")
        volume = float(request.options.get("volume", self.spec.options["volume"].default))
        samples = int(self.weights["beep.seconds"] * self.spec.sample_rate)
        time = torch.arange(samples, device=self.device) / self.spec.sample_rate
        pitches = self.weights["beep.hertz"][[LETTERS.index(letter) for letter in letters]]
        audio = volume * torch.sin(2 * torch.pi * pitches[:, None] * time).flatten()
        return Speech(request.id, audio, phonemes=" ".join(letters))
