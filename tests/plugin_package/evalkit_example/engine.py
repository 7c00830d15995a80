"""An engine: `beep` plays one sine per letter. Its weights are a pitch for each letter and the length of a beep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint, write_checkpoint
from evalkit.engines import EngineSpec, Example, Layout, Option, Request, Speech, Voice
from evalkit.errors import EvalkitError
from metrics.options import complete

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
        batch_exact=True,  # the same alone and in a batch; the conformance suite holds an engine to it
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._weights: dict[str, Tensor] = {}

    def load(self, weights: Mapping[str, Tensor]) -> str:
        # Strict: a checkpoint that loads only in part would speak, badly, and nobody would know why.
        found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        if found != SHAPES:
            wrong = sorted(name for name in SHAPES | found if SHAPES.get(name) != found.get(name))
            raise EvalkitError(f"Not weights of beep: {', '.join(wrong)} missing, extra or of another shape.")
        self._weights = {name: tensor.to(self.device, copy=True) for name, tensor in weights.items()}
        return fingerprint(self._weights)  # of what was loaded, not of what was given

    def weights(self) -> Mapping[str, Tensor]:
        return self._weights  # of an engine with a network: read back from its modules

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        # An engine that clones would read the clip here, outside every timing, and return a digest of its content.
        raise EvalkitError("beep has one voice, which is in its weights; it takes no reference clip.")

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        return [self._speak(request) for request in requests]

    def _speak(self, request: Request) -> Speech:
        # What cannot be spoken gets a status and a reason, never an exception: the rest of the batch must go on.
        letters = [letter for letter in request.text.lower() if letter in LETTERS]
        if not letters:
            return Speech(request.id, status="empty_text", reason="The text has no letters.")
        try:
            options = complete("beep", self.spec.options, request.options)
        except ValueError as error:
            return Speech(request.id, status="failed", reason=str(error))
        samples = max(0, int(self._weights["beep.seconds"] * self.spec.sample_rate))
        if not samples:
            return Speech(request.id, status="failed", reason="The weights give a beep no duration.")
        time = torch.arange(samples, device=self.device) / self.spec.sample_rate
        pitches = self._weights["beep.hertz"][[LETTERS.index(letter) for letter in letters]]
        audio = options["volume"] * torch.sin(2 * torch.pi * pitches[:, None] * time).flatten()
        # How long each symbol is, for those who want to know; the conformance suite compares it with the audio.
        details = {"frames": [1] * len(letters), "hop": samples}
        return Speech(request.id, audio, phonemes=" ".join(letters), details=details)

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        # A small system with random weights in the real format: `evalkit engines doctor beep` and the tests try it.
        generator = torch.Generator().manual_seed(seed)
        hertz = 200 + 800 * torch.rand(len(LETTERS), generator=generator)
        weights = {"beep.hertz": hertz, "beep.seconds": torch.tensor(0.05)}
        write_checkpoint(folder / "beep.pth", weights, sections=("beep",))
        return Example(folder / "beep.pth", ("Hi there.", "Still waters run deep.", "Yes.", "A stitch in time."))
