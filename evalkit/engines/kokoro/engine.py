"""kokoro: Kokoro-82M, its fine-tunes and merges, through the modules of the kokoro package."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from evalkit.checkpoints import fingerprint
from evalkit.engines.base import (
    Asset,
    EngineSpec,
    Environment,
    Example,
    Layout,
    Request,
    Setup,
    Speech,
    Status,
    Voice,
)
from evalkit.engines.kokoro import front_end, network, voice
from evalkit.engines.kokoro.arpabet import to_kokoro
from evalkit.engines.kokoro.config import LONGEST_TEXT, Config, read_config
from evalkit.engines.kokoro.prosody import Sentence
from evalkit.engines.kokoro.speaking import Clip, speak
from evalkit.errors import EvalkitError
from metrics.options import Option

SAMPLE_RATE = 24_000  # Hz, fixed in the package's source (istftnet.py:262)
LONGEST_S = 120  # seconds of one sentence; only broken durations are longer
_SLOWEST, _FASTEST = 0.5, 2.0
_MARKERS = ("decoder.generator.m_source.l_linear.weight", "predictor.duration_proj.linear_layer.weight")
OPTIONS = {
    "speed": Option(1.0, "How fast to speak: 2 is twice as fast.", low=_SLOWEST, high=_FASTEST),
    "language": Option("en-us", "What the front end reads.", choices=front_end.LANGUAGES),
    "front_end": Option(
        "auto",
        "What turns text into phonemes: auto is misaki where its spaCy tagger is installed, else espeak-ng.",
        choices=("auto", "misaki", "espeak"),
    ),
    "entities": Option(
        "frontend",
        "Who reads a suite's names: the front end, or the suite by its first accepted reading.",
        choices=("frontend", "suite"),
    ),
    "batching": Option(
        "auto",
        "auto speaks padded batches on a GPU and one by one on a CPU, which gains nothing from a batch.",
        choices=("auto", "padded", "single"),
    ),
}


class Refusal(NamedTuple):
    status: Status
    reason: str


class Ready(NamedTuple):
    """A request that can be spoken. phonemes: without the symbols that were dropped."""

    request: Request
    sentence: Sentence
    phonemes: str
    dropped: str


class Kokoro:
    """Reads phonemes, which a front end outside the weights makes of text; a voice pack says who speaks.

    A sentence is the same alone and in any batch. In a padded batch, durations and pitch are computed in float64: they
    decide by rounding and by the sum of a phase, which the last bits of float32 would tip.
    """

    spec = EngineSpec(
        name="kokoro",
        version="1",
        layouts=(
            Layout("Kokoro", network.SECTIONS, _MARKERS),
            Layout("StyleTTS2", (*network.SECTIONS, "style_encoder", "predictor_encoder"), _MARKERS),
        ),
        sample_rate=SAMPLE_RATE,
        front_end="misaki or espeak-ng",
        options=OPTIONS,
        max_batch=32,
        batch_exact=True,
        stochastic=True,
        needs_voice=True,
        voice_is_clip=False,
        voice="a style pack (.pt, [510, 1, 256]), or a mix of packs written a.pt:0.7,b.pt:0.3",
        phonemes=True,
        readings=True,
        assets={
            "config": Asset(
                "config.json of the model: sizes and symbols; without it those of Kokoro-82M 1.0",
                names=("config.json",),
                hub=("hexgrad/Kokoro-82M", "config.json"),
                required=False,
            )
        },
        environment=Environment("kokoro", {"kokoro": "0.9.4"}, "evalkit.engines.kokoro:requirements.txt"),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.notes: tuple[str, ...] = ()
        self._options: Mapping[str, Any] = {name: option.default for name, option in OPTIONS.items()}
        self._config: Config | None = None
        self._front_end: front_end.FrontEnd | None = None
        self._model: nn.Module | None = None
        self._names: tuple[str, ...] = ()  # what the loaded checkpoint holds

    def set_up(self, setup: Setup) -> None:
        """Read the configuration and load the front end. Raises EvalkitError where one of them cannot be used."""
        self._options = {**self._options, **setup.options}
        self._config = read_config(setup.assets.get("config"))
        self._load_front_end()

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical weights strictly; returns the fingerprint of what the network then holds.

        Sections of a StyleTTS2 training file that do not speak are left out, which `notes` says. Raises EvalkitError
        naming what is missing, unknown or of another shape.
        """
        found = network.sort_out(weights)
        if self._config is None:
            self._config = read_config(None)
        model = self._model or network.build(self._config)
        network.load_strictly(model, found.spoken)
        self._model = self._place(model)
        self._names = tuple(found.spoken)
        self.notes = _notes(found.left_out)
        layout = self.spec.layouts[-1] if found.left_out else self.spec.layouts[0]
        self.spec = replace(self.spec, layouts=(layout,)) if len(self.spec.layouts) > 1 else self.spec
        return fingerprint(self.weights())

    def weights(self) -> Mapping[str, Tensor]:
        """What is loaded, read back from the network. Raises EvalkitError if nothing is."""
        return network.read_back(self._loaded(), self._names)

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """The voice of a pack or of a mix of packs; `text` is not needed. Raises EvalkitError for what is no pack."""
        return voice.prepare(str(reference))

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak. Same order and length as the requests. Raises EvalkitError only if no weights are loaded."""
        model = self._loaded()
        prepared = [self._prepare(request) for request in requests]
        started = time.perf_counter()
        ready = [item for item in prepared if isinstance(item, Ready)]
        clips = self._speak(model, [item.sentence for item in ready])
        finite = [clip.audio is not None and bool(clip.audio.isfinite().all()) for clip in clips]  # waits for the GPU
        seconds = time.perf_counter() - started
        total = max(1, sum(sum(clip.frames) for clip in clips))
        spoken = iter(
            self._speech(item, clip, good, seconds * sum(clip.frames) / total)
            for item, clip, good in zip(ready, clips, finite, strict=True)
        )
        return [
            next(spoken) if isinstance(item, Ready) else Speech(request.id, status=item.status, reason=item.reason)
            for request, item in zip(requests, prepared, strict=True)
        ]

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        """A small system of random weights: config.json, model.pth and voice.pt."""
        from evalkit.engines.kokoro import example

        return example.write(folder, seed)

    @property
    def _padded(self) -> bool:
        chosen = self._options["batching"]
        return chosen == "padded" or (chosen == "auto" and self.device.type == "cuda")

    def _loaded(self) -> nn.Module:
        if self._model is None:
            raise EvalkitError("kokoro has no weights yet: call load first.")
        return self._model

    def _load_front_end(self) -> front_end.FrontEnd:
        self._front_end = front_end.make(str(self._options["front_end"]), str(self._options["language"]))
        self.spec = replace(self.spec, front_end=self._front_end.name)
        return self._front_end

    def _place(self, model: Any) -> nn.Module:
        placed: Any = model.to(self.device)
        if self._padded:
            for part in (placed.bert, placed.bert_encoder, placed.predictor):
                part.double()
        return placed  # type: ignore[no-any-return]

    def _speak(self, model: nn.Module, sentences: Sequence[Sentence]) -> list[Clip]:
        if not sentences:
            return []
        with torch.inference_mode(), _full_float32():
            return speak(model, sentences, self._padded, LONGEST_S * SAMPLE_RATE // self._hop)

    @property
    def _hop(self) -> int:
        assert self._config is not None
        return self._config.hop

    def _prepare(self, request: Request) -> Ready | Refusal:
        speed = request.options.get("speed", self._options["speed"])
        if not isinstance(speed, int | float) or not _SLOWEST <= speed <= _FASTEST:
            return Refusal("failed", f"The speed must be a number between {_SLOWEST} and {_FASTEST}, not {speed!r}.")
        table = None if request.voice is None else request.voice.data
        if not isinstance(table, Tensor) or tuple(table.shape) != voice.SHAPE:
            return Refusal("bad_voice", "Kokoro speaks with a voice pack only; name one with --voice.")
        if request.phonemes is None and not any(symbol.isalnum() for symbol in request.text):
            return Refusal("empty_text", "There is nothing to read in this text.")
        try:
            phonemes = self._read(request) if request.phonemes is None else request.phonemes
        except EvalkitError:
            raise
        except Exception as error:  # a front end is other people's code: what it raises is about this text
            return Refusal("failed", f"The front end cannot read this text: {error}.")
        return self._encode(request, phonemes, table, float(speed))

    def _read(self, request: Request) -> str:
        reader = self._front_end or self._load_front_end()
        readings: Mapping[str, str] = {}
        if self._options["entities"] == "suite":
            british = self._options["language"] == "en-gb"
            readings = {spelling: to_kokoro(reading, british) for spelling, reading in request.readings.items()}
        return reader.read(" ".join(request.text.split()), readings)

    def _encode(self, request: Request, phonemes: str, table: Tensor, speed: float) -> Ready | Refusal:
        assert self._config is not None
        symbols = self._config.symbols
        kept = "".join(symbol for symbol in phonemes if symbol in symbols)
        dropped = "".join(dict.fromkeys(symbol for symbol in phonemes if symbol not in symbols))
        if not phonemes.strip():
            return Refusal("empty_text", "The front end found nothing to read in this text.")
        if not kept.strip():
            return Refusal("unknown_symbols", f"Kokoro has none of these symbols: {' '.join(dropped[:10])}")
        if len(phonemes) > LONGEST_TEXT:
            return Refusal(
                "too_long", f"The text has {len(phonemes)} phonemes; Kokoro takes {LONGEST_TEXT} at most: split it."
            )
        # The row counts symbols that are dropped, as the package does (pipeline.py:242).
        style = table[len(phonemes) - 1, 0]
        ids = [0, *(symbols[symbol] for symbol in kept), 0]
        return Ready(request, Sentence(ids, style, speed, request.seed), kept, dropped)

    def _speech(self, item: Ready, clip: Clip, finite: bool, seconds: float) -> Speech:
        identity = item.request.id
        if not clip.finite or (clip.audio is not None and not finite):
            return Speech(identity, status="not_finite", reason="The network's output has NaN or infinity in it.")
        details: dict[str, Any] = {"frames": list(clip.frames), "hop": self._hop}
        if item.dropped:
            details["dropped"] = list(item.dropped)
        if clip.audio is None:
            length = sum(clip.frames) * self._hop / SAMPLE_RATE
            reason = f"The network gave this text {length:.0f} s of sound, more than {LONGEST_S} s: it is broken."
            return Speech(identity, status="failed", reason=reason, details=details)
        return Speech(identity, clip.audio, phonemes=item.phonemes, seconds=seconds, details=details)


def _full_float32() -> AbstractContextManager[None]:
    """Without TensorFloat-32, which rounds to 10 bits: a batch and its sentences alone would then differ by 1e-3."""
    cudnn = torch.backends.cudnn
    found: AbstractContextManager[None] = cudnn.flags(
        enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
    )
    return found


def _notes(left_out: Mapping[str, int]) -> tuple[str, ...]:
    if not left_out:
        return ()
    listed = ", ".join(f"{section} ({count})" for section, count in left_out.items())
    return (
        f"Left out, as they do not speak with a voice pack: the tensors of {listed}.",
        "This is a StyleTTS2 checkpoint, and StyleTTS2's own table of symbols has as many entries as Kokoro's in "
        "another order: unless it was trained with Kokoro's, all of it loads and what it speaks is garbage.",
    )
