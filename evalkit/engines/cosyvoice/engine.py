"""CosyVoice: zero-shot text to speech of three networks: a language model, a flow and a vocoder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evalkit.checkpoints import fingerprint
from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.base import Asset, EngineSpec, Request, Setup, Speech, Status, Voice
from evalkit.engines.cosyvoice.building import SAID, build
from evalkit.engines.cosyvoice.generation import Generation, chunks
from evalkit.engines.cosyvoice.sections import LAYOUTS, SECTIONS, Overlay
from evalkit.errors import EvalkitError
from metrics.options import Option, complete

END_OF_PROMPT = "<|endofprompt|>"
INSTRUCTION = f"You are a helpful assistant.{END_OF_PROMPT}"  # `example.py:72`; version 3 wants one (llm.py:479)
LONGEST_CLIP_S = 30.0  # `cli/frontend.py:_extract_speech_token`
LOWEST_RATE = 16000  # `utils/file_utils.py:load_wav`


class CosyVoice:
    """Speaks with whichever of llm, flow and hift a checkpoint has, and the rest from the model folder.

    Source: FunAudioLLM/CosyVoice ace7c47, imported from a checkout. One sentence at a time, since CosyVoice has no
    batches. A seed makes a sentence the same twice, but not a stream.
    """

    spec = EngineSpec(
        name="cosyvoice",
        version="1",
        layouts=LAYOUTS,
        sample_rate=24000,  # 22050 in version 1
        front_end="cosyvoice",
        options={
            "speed": Option(1.0, "how fast to speak: 2 is twice as fast; not for streams", low=0.5, high=2.0),
            "text_frontend": Option(True, "whether CosyVoice normalises the text and splits it at sentences"),
            "python": Option("", "the Python of an environment with CosyVoice's requirements; empty for this one"),
        },
        operating=("python",),
        max_batch=1,
        batch_exact=True,
        streaming=True,
        stochastic=True,
        needs_voice=True,
        voice="a clip of 3 to 30 s",
        needs_voice_text=True,
        assets={
            # Both are code that will run, so neither is looked for beside a checkpoint that came from somebody else.
            "source": Asset("a checkout of CosyVoice with its submodule"),
            "model_dir": Asset("the model folder that the checkpoint was trained from (its YAML runs code)"),
        },
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.notes: Sequence[str] = ()
        self._tts: Any = None
        self._overlay: Overlay | None = None
        self._generation: Generation | None = None
        self._options: Mapping[str, Any] = {name: option.default for name, option in self.spec.options.items()}

    def set_up(self, setup: Setup) -> None:
        """Make the model of `model_dir`. Raises EvalkitError if it cannot be made, or runs on another device."""
        self._options = {**self._options, **setup.options}
        if missing := [name for name in ("source", "model_dir") if name not in setup.assets]:
            wanted = " and ".join(f"--set {name}=FOLDER" for name in missing)
            raise EvalkitError(f"The engine 'cosyvoice' needs {wanted}: a checkout of its source, and a model folder.")
        tts = build(setup.assets["source"], setup.assets["model_dir"])
        model = tts.model
        if model.device.type != self.device.type:  # `cli/model.py:35` takes the GPU wherever there is one
            raise EvalkitError(
                f"CosyVoice chose the device {model.device.type}, not {self.device.type}: give --device "
                f"{model.device.type}, or hide the GPU with CUDA_VISIBLE_DEVICES=''."
            )
        self._overlay = Overlay({section: getattr(model, section) for section in SECTIONS})
        self._generation = Generation(model)
        self._tts = tts
        normaliser = getattr(tts.frontend, "text_frontend", "") or "no normaliser"
        front_end = f"{type(tts).__name__} text front end ({normaliser})"
        self.spec = replace(self.spec, sample_rate=int(tts.sample_rate), front_end=front_end)

    def load(self, weights: Mapping[str, Tensor]) -> str:
        """Lay the sections that the checkpoint has over the model folder's; each must be there whole.

        Drops `epoch`, `step` and `discriminator.*`, and `generator.` before a vocoder's names. Returns the fingerprint
        of the sections that were given. Raises EvalkitError, and loads nothing, if one does not fit.
        """
        overlay = self._prepared()[1]
        overlay.load(weights)
        kept = [section for section in SECTIONS if section not in overlay.given]
        dropped = sorted({name.partition(".")[0] for name in overlay.dropped})
        self.notes = tuple(
            sentence
            for sentence, said in (
                (f"Of CosyVoice's networks, {' and '.join(kept)} come from model_dir.", kept),
                (f"Left out, since they are only for training: {', '.join(dropped)}.", dropped),
            )
            if said
        )
        return fingerprint(overlay.weights())

    def weights(self) -> Mapping[str, Tensor]:
        """The sections that the checkpoint gave, under the names that the networks have for them."""
        return self._prepared()[1].weights()

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """Encode a clip in which `text` is said. Raises EvalkitError for a clip that CosyVoice cannot take."""
        tts = self._prepared()[0]
        said = (text or "").strip()
        if not said:
            raise EvalkitError(f"CosyVoice must know what is said in {reference}: give its text.")
        _check_clip(reference)
        digest = hashlib.sha256(reference.read_bytes() + b"\0" + said.encode()).hexdigest()
        prompt = said
        if type(tts).__name__ == "CosyVoice3" and END_OF_PROMPT not in said:
            prompt = INSTRUCTION + said
        try:
            # As `inference_zero_shot` does with a clip; `add_zero_shot_spk` alone would leave the text as it is.
            prompt = tts.frontend.text_normalize(
                prompt, split=False, text_frontend=bool(self._options["text_frontend"])
            )
            tts.add_zero_shot_spk(prompt, str(reference), digest)
        except Exception as error:
            raise EvalkitError(f"CosyVoice cannot take {reference} for a voice: {shown(error, SAID)}") from error
        return Voice(reference.stem, digest, digest)

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, one after another. Raises EvalkitError only if it was not set up."""
        self._prepared()
        return [self._speak(request) for request in requests]

    def stream(self, request: Request) -> Iterator[Tensor]:
        """Chunks as CosyVoice makes them; it looks for a new one ten times a second (`cli/model.py:347`).

        Raises EvalkitError on a bad request, for another speed than 1, and when the language model fails.
        """
        tts, _, generation = self._prepared()
        refusal, options = self._refusal(request)
        if refusal:
            raise EvalkitError(str(refusal.reason))
        if float(options["speed"]) != 1.0:
            raise EvalkitError("CosyVoice streams at speed 1 only: leave the speed out.")
        assert request.voice is not None
        with generation.seeded(request.seed):
            try:
                for chunk in chunks(tts, request.text, request.voice.data, options, stream=True):
                    if len(chunk):
                        yield chunk.to(self.device)
            except Exception as error:
                generation.error = generation.error or error
        if generation.error is not None:
            raise EvalkitError(_failed(generation)) from generation.error

    def _speak(self, request: Request) -> Speech:
        tts, _, generation = self._prepared()
        refusal, options = self._refusal(request)
        if refusal:
            return refusal
        assert request.voice is not None
        started = time.perf_counter()
        made: list[Tensor] = []
        with generation.seeded(request.seed):
            try:
                made.extend(chunks(tts, request.text, request.voice.data, options, stream=False))
            except Exception as error:
                generation.error = generation.error or error  # the language model's own error is the cause
        seconds = time.perf_counter() - started
        return self._speech(request, generation, made, seconds)

    def _speech(self, request: Request, generation: Generation, made: Sequence[Tensor], seconds: float) -> Speech:
        audio = torch.cat(list(made)) if made else torch.zeros(0)
        if problem := _problem(generation, bool(made), audio):
            return Speech(request.id, status=problem[0], reason=problem[1])
        details = {"tokens": generation.tokens, "parts": len(made)}
        return Speech(request.id, audio.to(self.device), seconds=seconds, details=details)

    def _refusal(self, request: Request) -> tuple[Speech | None, Mapping[str, Any]]:
        def no(status: Status, reason: str) -> tuple[Speech, Mapping[str, Any]]:
            return Speech(request.id, status=status, reason=reason), {}

        if request.phonemes is not None:
            return no("failed", "CosyVoice reads text and takes no phonemes.")
        if not request.text.strip():
            return no("empty_text", "There is nothing to read in this text.")
        if request.voice is None or request.voice.data not in self._tts.frontend.spk2info:
            return no("bad_voice", "CosyVoice needs a voice that it has prepared: give --voice with a clip.")
        try:
            options = complete("the engine 'cosyvoice'", self.spec.options, {**self._options, **request.options})
        except ValueError as error:
            return no("failed", str(error))
        return None, options

    def _prepared(self) -> tuple[Any, Overlay, Generation]:
        if self._tts is None or self._overlay is None or self._generation is None:
            raise EvalkitError("The engine 'cosyvoice' has no model yet: call set_up first.")
        return self._tts, self._overlay, self._generation


def _problem(generation: Generation, read: bool, audio: Tensor) -> tuple[Status, str] | None:
    error = generation.error
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "out_of_memory", "The GPU has no memory left for this sentence."
    if error is not None or generation.ended_at_once:
        return "failed", _failed(generation)
    if not read:
        return "empty_text", "CosyVoice's front end left nothing to read of this text."
    if generation.truncated:
        return "truncated", f"The language model made {generation.tokens} tokens and did not come to an end."
    if not len(audio):
        return "failed", "CosyVoice gave this text no duration."
    return None if bool(audio.isfinite().all()) else ("not_finite", "The vocoder's output has NaN or infinity in it.")


def _failed(generation: Generation) -> str:
    if generation.ended_at_once:  # the networks after it then fail, each in its own words
        return "The language model ended before its first token."
    return f"CosyVoice failed: {type(generation.error).__name__}: {shown(generation.error, SAID)}"


def _check_clip(reference: Path) -> None:
    import soundfile

    if not reference.is_file():
        raise EvalkitError(f"There is no clip {reference}: check the path.")
    try:
        info = soundfile.info(str(reference))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise EvalkitError(f"{reference} cannot be read as audio: give a WAV file.") from error
    if info.duration > LONGEST_CLIP_S:
        raise EvalkitError(f"{reference} is {info.duration:.1f} s long; CosyVoice takes {LONGEST_CLIP_S:g} s: cut it.")
    if info.samplerate < LOWEST_RATE:
        raise EvalkitError(f"{reference} has {info.samplerate} Hz; CosyVoice takes {LOWEST_RATE} Hz and more.")
