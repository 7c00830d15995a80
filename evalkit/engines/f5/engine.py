"""F5-TTS (package f5-tts): checkpoints of its CFM, spoken in exact batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import metrics.options
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
from evalkit.engines.f5 import configuration, network, sampling, text
from evalkit.engines.f5.configuration import ASSUMED, HOP, NAMED, SAMPLE_RATE
from evalkit.engines.f5.reference import Reference, prepare
from evalkit.engines.f5.sampling import Sentence, Solver
from evalkit.engines.f5.vocoder import load_vocoder
from evalkit.errors import EvalkitError, some
from metrics.options import Option

PACKAGE = "1.1.22"
LONGEST_S = 30  # reference and new speech together: what F5-TTS was trained on
AUTO = "auto"
OPTIONS: Mapping[str, Option] = {
    "steps": Option(32, "Steps of the solver: network evaluations per sentence (nfe).", low=1, high=256),
    "cfg_strength": Option(2.0, "Classifier-free guidance; 0 leaves it out.", low=0.0, high=20.0),
    "sway": Option(-1.0, "Sway sampling: below 0 puts steps early, 0 spaces them evenly.", low=-1.0, high=1.75),
    "speed": Option(1.0, "Speaking rate relative to the reference clip's.", low=0.3, high=4.0),
    "epss": Option(True, "Place 5, 6, 7, 10, 12 or 16 steps by EPSS, as the package does."),
    "config": Option(
        AUTO, f"The package's configuration; {AUTO} is the file model_cfg, or {ASSUMED}.", choices=(AUTO, *NAMED)
    ),
}
ASSETS: Mapping[str, Asset] = {
    "vocoder": Asset(
        "the vocoder, a folder with config.yaml and pytorch_model.bin of vocos-mel-24khz",
        names=("vocos-mel-24khz", "vocos"),
        hub=("charactr/vocos-mel-24khz", "pytorch_model.bin"),  # the larger part, so that its content counts
    ),
    "vocab": Asset("the vocabulary (vocab.txt), by default the package's own", names=("vocab.txt",), required=False),
    "model_cfg": Asset(
        "a configuration of another size (YAML, of the form of f5_tts/configs)",
        names=("model_cfg.yaml",),
        required=False,
    ),
}


class Refusal(NamedTuple):
    status: Status
    reason: str


class Job(NamedTuple):
    """A request that can be spoken. unknown: symbols that the vocabulary lacks."""

    request: Request
    sentence: Sentence
    solver: Solver
    reference: Reference
    unknown: list[str]


class F5TTS:
    """Reads characters, so pronunciation is in the weights. Speaks like a reference clip, in float32."""

    spec = EngineSpec(
        name="f5",
        version="1",
        layouts=(
            Layout(
                name="f5-tts",
                sections=("transformer",),
                markers=(
                    network.EMBEDDING,
                    "transformer.input_embed.proj.weight",
                    "transformer.transformer_blocks.0.attn.to_q.weight",
                ),
            ),
        ),
        sample_rate=SAMPLE_RATE,
        front_end=f"f5-tts {PACKAGE} characters and pinyin",
        options=OPTIONS,
        batch_exact=True,
        stochastic=True,
        needs_voice=True,
        voice="a clip of 2 to 12 s with its text",
        needs_voice_text=True,
        assets=ASSETS,
        environment=Environment("f5", {"f5-tts": PACKAGE, "vocos": "0.1.0"}, "evalkit.engines.f5:requirements.txt"),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.notes: Sequence[str] = ()
        self._set_up_notes: list[str] = []
        self._network: network.Network | None = None
        self._loaded: dict[str, Tensor] = {}

    def set_up(self, setup: Setup) -> None:
        """Build the network and load the vocoder. Raises EvalkitError for assets that do not fit."""
        self._config = setup.options.get("config", AUTO)
        chosen, notes = _configuration(self._config, setup.assets.get("model_cfg"))
        self._vocabulary = text.read_vocabulary(setup.assets.get("vocab"))
        self._vocoder = load_vocoder(setup.assets["vocoder"]).to(self.device)
        self._network = network.build(chosen, self._vocabulary)
        self._network.cfm.to(self.device)
        if "vocab" not in setup.assets:
            notes.append(f"No vocab.txt was given: the package's own is used ({len(self._vocabulary.index)} symbols).")
        if self._vocabulary.unknown != " ":
            notes.append(f"Unknown symbols are read as {self._vocabulary.unknown!r}, the vocabulary's first.")
        if self.device.type == "cuda":
            notes.append("evalkit speaks in float32; the package itself takes float16 on a GPU.")
        notes.append("F5-TTS' durations come from the reference clip: no weights change the speaking rate.")
        self._set_up_notes = notes
        self.notes = tuple(notes)

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Load canonical CFM weights ("transformer.proj_out.weight") strictly; returns the loaded ones' fingerprint.

        Raises EvalkitError naming keys that are missing, extra or mis-shaped; what was loaded before stays then.
        """
        self._loaded, notes = network.load_strictly(self._ready(), weights)
        self.notes = (*self._set_up_notes, *notes)
        return fingerprint(self._loaded)

    def weights(self) -> Mapping[str, Tensor]:
        return dict(self._loaded)

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """A clip in which `text` is said. Raises EvalkitError if it is unreadable, silent, or without its text."""
        if text is None or not text.strip():
            raise EvalkitError(f"F5-TTS needs the text that is said in {reference}: give it with --voice-text.")
        made, digest = prepare(reference, text.strip(), self._ready().cfm.mel_spec.cpu())
        return Voice(reference.stem, digest, made._replace(mel=made.mel.to(self.device)))

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, sentences with the same solver and of about the same length together. Same order as the requests.

        Raises EvalkitError only if no weights are loaded.
        """
        self._ready()
        if not self._loaded:
            raise EvalkitError("F5-TTS has no weights yet: call load first.")
        planned = [self._plan(request) for request in requests]
        speeches = [
            Speech(request.id, status=plan.status, reason=plan.reason) if isinstance(plan, Refusal) else None
            for request, plan in zip(requests, planned, strict=True)
        ]
        jobs = {place: plan for place, plan in enumerate(planned) if isinstance(plan, Job)}
        for solver in dict.fromkeys(job.solver for job in jobs.values()):
            places = [place for place, job in jobs.items() if job.solver == solver]
            for batch in sampling.batches([jobs[place].sentence.frames for place in places]):
                together = [places[index] for index in batch]
                for place, speech in zip(together, self._speak([jobs[p] for p in together], solver), strict=True):
                    speeches[place] = speech
        return [speech for speech in speeches if speech is not None]

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        """A tiny DiT and a tiny Vocos with random weights, in the released files' form, and a synthetic clip."""
        from evalkit.engines.f5.example import write_example

        return write_example(folder, seed)

    def _ready(self) -> network.Network:
        if self._network is None:
            raise EvalkitError("F5-TTS is not set up: it needs its vocoder before it loads weights.")
        return self._network

    def _plan(self, request: Request) -> Job | Refusal:
        if request.phonemes is not None:
            return Refusal("failed", "F5-TTS reads characters and takes no phonemes; leave them out.")
        if request.voice is None or not isinstance(request.voice.data, Reference):
            return Refusal("bad_voice", "F5-TTS needs a reference clip: prepare a voice first.")
        try:
            options = metrics.options.complete("F5-TTS", OPTIONS, {"config": self._config, **request.options})
        except ValueError as error:
            return Refusal("failed", str(error))
        if options["config"] != self._config:
            return Refusal("failed", "The option config is decided when F5-TTS is set up; it cannot change later.")
        return self._job(request, request.voice.data, options)

    def _job(self, request: Request, reference: Reference, options: Mapping[str, Any]) -> Job | Refusal:
        spoken = " ".join(request.text.split())
        read = text.symbols(spoken)
        unknown = text.unknown_symbols(read, self._vocabulary)
        if not any(symbol.isalnum() for symbol in read if symbol not in unknown):
            if unknown:
                return Refusal("unknown_symbols", f"The vocabulary has no letter of this text, not {some(unknown)}.")
            return Refusal("empty_text", "There is nothing to read in this text.")
        frames = text.frames_for(spoken, reference.text, reference.frames, options["speed"])
        rows = text.rows(text.symbols(reference.text + spoken), self._vocabulary)
        frames = sampling.at_least(frames, reference.mel, rows)
        if frames > LONGEST_S * SAMPLE_RATE / HOP:
            seconds = [part * HOP / SAMPLE_RATE for part in (reference.frames, frames - reference.frames)]
            return Refusal(
                "too_long",
                f"The reference ({seconds[0]:.1f} s) and this text ({seconds[1]:.1f} s) are more than the "
                f"{LONGEST_S} s that F5-TTS was trained on: shorten one.",
            )
        sentence = Sentence(reference.mel, rows, frames, request.seed)
        solver = Solver(options["steps"], options["cfg_strength"], options["sway"], options["epss"])
        return Job(request, sentence, solver, reference, unknown)

    @torch.inference_mode()
    def _speak(self, jobs: Sequence[Job], solver: Solver) -> list[Speech]:
        started = time.perf_counter()
        mels = sampling.sample(self._ready(), [job.sentence for job in jobs], solver)
        new = [mel[job.reference.frames :] for mel, job in zip(mels, jobs, strict=True)]
        # One by one: Vocos' convolutions would mix a sentence's end with the padding behind it.
        audio = [self._vocoder.decode(mel.T[None])[0] * job.reference.gain for mel, job in zip(new, jobs, strict=True)]
        finite = [bool(clip.isfinite().all()) for clip in audio]  # waits for the device too
        seconds = time.perf_counter() - started
        total = max(1, sum(len(clip) for clip in audio))
        return [
            _speech(job, clip, len(mel), ok, seconds * len(clip) / total)
            for job, clip, mel, ok in zip(jobs, audio, new, finite, strict=True)
        ]


def _configuration(chosen: str, path: Path | None) -> tuple[configuration.Configuration, list[str]]:
    """The named configuration, the file's, or the assumed one, and what to tell the user of it."""
    if chosen != AUTO and path is not None:
        raise EvalkitError(f"Both --set config={chosen} and model_cfg={path} are given; leave one out.")
    if path is not None:
        return configuration.read(path), [f"Configuration: {path.name}."]
    if chosen != AUTO:
        return configuration.named(chosen), [f"Configuration: {chosen}."]
    return configuration.named(ASSUMED), [
        f"Configuration: {ASSUMED}, which is assumed. F5TTS_Base has the same shapes and would load without an error, "
        "but speak badly: name the checkpoint's with --set config=NAME."
    ]


def _speech(job: Job, audio: Tensor, frames: int, finite: bool, seconds: float) -> Speech:
    if not finite:
        return Speech(job.request.id, status="not_finite", reason="The network's output has NaN or infinity in it.")
    details: dict[str, Any] = {"frames": [frames], "hop": HOP, **_dropped(job.unknown)}
    return Speech(job.request.id, audio.float().clone(), seconds=seconds, details=details)


def _dropped(unknown: Iterable[str]) -> dict[str, Any]:
    """Symbols that were not read; the package reads its vocabulary's first symbol for each."""
    listed = list(unknown)
    return {"dropped": listed} if listed else {}
