"""tinytts: the small character-input engine that evalkit's own reference voices speak through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.engines.base import EngineSpec, Example, Layout, Request, Speech, Status, Voice
from evalkit.engines.tinytts import vocoder
from evalkit.engines.tinytts.chance import TEMPERATURE, draw
from evalkit.engines.tinytts.model import Frames, TinyModel
from evalkit.engines.tinytts.text import PHONES, encode, normalise, unknown_symbols
from evalkit.engines.tinytts.weights import build, load_strictly
from evalkit.errors import EvalkitError
from metrics.options import Option

LONGEST_TEXT = 600  # letters
SPEED = Option(default=1.0, description="How fast to speak: 2 is twice as fast.", low=0.5, high=2.0)
OPTIONS = {"speed": SPEED, "temperature": TEMPERATURE}


class Refusal(NamedTuple):
    status: Status
    reason: str


class Read(NamedTuple):
    """What became of a sentence's letters: the phonemes they make, and how many frames each has."""

    phonemes: str
    frames: list[int]


class TinyTTS:
    """Reads letters; has one voice per checkpoint. A seed changes nothing unless the temperature is above 0."""

    spec = EngineSpec(
        name="tinytts",
        version="2",
        layouts=(
            Layout(
                name="tinytts",
                sections=("encoder", "predictor", "decoder"),
                markers=("encoder.chunk_phones", "predictor.to_duration.weight", "decoder.frame_mean"),
            ),
        ),
        sample_rate=vocoder.SAMPLE_RATE,
        front_end="tinytts letters 1",
        options=OPTIONS,
        batch_exact=True,
        reads_digits=False,
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self._model: TinyModel | None = None
        self._vocoder = vocoder.Vocoder().to(self.device)

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical weights ("encoder.embedding.weight") strictly; returns the fingerprint of what is loaded.

        Sizes are read off the shapes. Raises EvalkitError naming keys that are missing, extra or mis-shaped.
        """
        model = build(weights)
        load_strictly(model, weights)
        # In float64 the rounding that a batch's shape changes stays far below what float32 frames can tell: the vocoder
        # makes 1e-3 of audio of 1e-6 in a pitch, and so a sentence would sound otherwise beside other neighbours.
        self._model = model.to(self.device, torch.float64).eval()
        return fingerprint(self.weights())

    def weights(self) -> Mapping[str, Tensor]:
        """What the network speaks with, by canonical keys. Raises EvalkitError if no weights are loaded."""
        state = self._loaded().state_dict()
        return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        """A small voice with random weights, see `write_example`."""
        from evalkit.engines.tinytts.example import write_example

        return write_example(folder, seed)

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        raise EvalkitError("tinytts has one voice, which is in its weights; it takes no reference clip.")

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, all sentences as one batch. Same order and length as the requests.

        Raises EvalkitError only if no weights are loaded.
        """
        self._loaded()
        texts = [normalise(request.text) for request in requests]
        refused = [_refusal(request, text) for request, text in zip(requests, texts, strict=True)]
        spoken = iter(self._speak([(r, t) for r, t, no in zip(requests, texts, refused, strict=True) if no is None]))
        return [
            next(spoken) if no is None else Speech(request.id, status=no.status, reason=no.reason)
            for request, no in zip(requests, refused, strict=True)
        ]

    def _loaded(self) -> TinyModel:
        if self._model is None:
            raise EvalkitError("tinytts has no weights yet: call load first.")
        return self._model

    @torch.inference_mode()
    def _speak(self, accepted: Sequence[tuple[Request, str]]) -> list[Speech]:
        if not accepted:
            return []
        started = time.perf_counter()
        frames = self.frames(
            [text for _, text in accepted],
            [_option(request, "speed") for request, _ in accepted],
            [(request.seed, _option(request, "temperature")) for request, _ in accepted],
        )
        audio = [
            self._vocoder(f[:n]) if n else f.new_zeros(0) for f, n in zip(frames.frames, frames.lengths, strict=True)
        ]
        seconds = time.perf_counter() - started
        total = max(1, sum(len(clip) for clip in audio))
        return [
            _speech(request, clip, read, bool(finite), seconds * len(clip) / total)
            for (request, _), clip, read, finite in zip(accepted, audio, self._read(frames), frames.finite, strict=True)
        ]

    def frames(
        self, texts: Sequence[str], speeds: Sequence[float], chances: Sequence[tuple[int, float]] | None = None
    ) -> Frames:
        """What normalised texts sound like, before the vocoder, in float32. Each is the same alone and in any batch.

        chances: seed and temperature of each; None leaves nothing to chance.
        """
        symbols = [torch.tensor(encode(text)) for text in texts]
        padded = torch.nn.utils.rnn.pad_sequence(symbols, batch_first=True).to(self.device)
        lengths = torch.tensor([len(s) for s in symbols], device=self.device)
        model = self._loaded()
        draws = draw(model, chances, [len(s) for s in symbols], self.device) if chances else None
        result: Frames = model(padded, lengths, torch.tensor(speeds, device=self.device), draws)
        return result._replace(frames=result.frames.float())

    def _read(self, frames: Frames) -> list[Read]:
        """What every sentence was read as, in order."""
        phones = self._loaded().encoder.chunk_phones[frames.chunks]  # [B, L, 2]
        return [
            Read(_phonemes(row[:count].flatten()), durations[:count].tolist())
            for row, durations, count in zip(phones, frames.durations, frames.letters, strict=True)
        ]


def _refusal(request: Request, text: str) -> Refusal | None:
    if request.phonemes is not None:
        return Refusal("failed", "tinytts reads letters and takes no phonemes; leave them out.")
    for name, option in OPTIONS.items():
        value, low, high = request.options.get(name, option.default), option.low, option.high
        if not isinstance(value, (int, float)) or low is None or high is None or not low <= value <= high:
            return Refusal("failed", f"The {name} must be a number between {low} and {high}, not {value!r}.")
    if not any(symbol.isalnum() for symbol in text):
        return Refusal("empty_text", "There is nothing to read in this text.")
    if unknown := unknown_symbols(text):
        listed = " ".join(unknown[:10])
        return Refusal("unknown_symbols", f"tinytts reads the letters a to z and , . ? ' only, not: {listed}")
    if len(text) > LONGEST_TEXT:
        return Refusal("too_long", f"The text has {len(text)} letters; tinytts takes {LONGEST_TEXT} at most: split it.")
    return None


def _speech(request: Request, audio: Tensor, read: Read, finite: bool, seconds: float) -> Speech:
    if not finite or not bool(audio.isfinite().all()):
        return Speech(request.id, status="not_finite", reason="The network's output has NaN or infinity in it.")
    if not len(audio):
        return Speech(request.id, status="failed", reason="The network gave this text no duration.")
    details = {"frames": read.frames, "hop": vocoder.HOP}
    return Speech(request.id, audio, phonemes=read.phonemes, seconds=seconds, details=details)


def _option(request: Request, name: str) -> float:
    return float(request.options.get(name, OPTIONS[name].default))


def _phonemes(phones: Tensor) -> str:
    return " ".join(PHONES[index] for index in phones.tolist() if index >= 0)
