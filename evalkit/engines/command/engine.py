"""command: any program that turns text into a WAV file, named with a template."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.base import EngineSpec, Example, Request, Setup, Speech, Voice
from evalkit.engines.command.naming import named_contents
from evalkit.engines.command.process import Programs
from evalkit.engines.command.speaking import JOBS, TIME_LIMIT, Call, Outcome, speak, speak_all
from evalkit.engines.command.template import EXAMPLE, Template, parse_template
from evalkit.errors import EvalkitError
from evalkit.files import digest, sha256_file
from metrics.options import Option

PROBE = "This is a short test."
PROBE_SEED = 0


class Command:
    """Starts the program anew for every sentence, in an empty folder, and reads the WAV that it writes.

    Placeholders: see `evalkit.engines.command.template`. Without {text} or {text_file} the text goes to stdin; without
    {wav} the WAV is read from stdout. Several channels are averaged. What a sentence's program leaves behind is
    killed. With {voice} in the template a voice is needed, and the first try waits for it.
    """

    spec = EngineSpec(
        name="command",
        version="1",
        layouts=(),
        sample_rate=0,  # of what the program writes, once it was tried
        front_end="unknown: inside the program",
        options={
            "template": Option("", "the program and its arguments, with {text} and {wav} in their places"),
            "time_limit": TIME_LIMIT,
            "jobs": JOBS,
        },
        max_batch=32,
        batch_exact=True,  # every sentence has a process of its own
        voice="what the program takes as {voice}: a file or a name",
        weights="none",
        argument="template",
        operating=("time_limit", "jobs"),
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._programs = Programs()
        self._template: Template | None = None
        self._program = ""
        self._identity: dict[str, str] = {}
        self._cwd = ""
        self._time_limit = float(TIME_LIMIT.default)
        self._jobs = int(JOBS.default)

    def set_up(self, setup: Setup) -> None:
        """Find the program and let it speak once. Raises EvalkitError if it does not."""
        options = {name: option.default for name, option in self.spec.options.items()} | dict(setup.options)
        text = str(options["template"]).strip()
        if not text:
            raise EvalkitError(f"Say which program speaks: {EXAMPLE}.")
        template = parse_template(text)
        self._cwd = os.getcwd()
        self._time_limit, self._jobs = float(options["time_limit"]), int(options["jobs"])
        self._program = _find_program(template, self._cwd)
        self._identity = {
            "template": text,
            "program": Path(self._program).name,
            "sha256": sha256_file(Path(self._program)),
            **named_contents(template, {"cwd": self._cwd}),
        }
        self._template = template
        self.spec = replace(self.spec, stochastic="seed" in template.used, needs_voice="voice" in template.used)
        if not self.spec.needs_voice:
            self._try(None)

    @property
    def identity(self) -> Mapping[str, str]:
        """The template, the program's name, sha256 of its file and of every file and folder that the template names."""
        return self._identity

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError("The engine 'command' takes no checkpoint: name the weights in the command itself.")

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        """A file, or a name that the program knows. Raises EvalkitError if the program does not speak with it."""
        template = self._prepared()
        if "voice" not in template.used:
            raise EvalkitError("This command takes no voice: put {voice} where the program expects it.")
        if reference.is_file():
            voice = Voice(reference.stem, sha256_file(reference), os.path.abspath(reference))
        elif os.sep in str(reference) or reference.suffix:
            raise EvalkitError(
                f"There is no voice file {reference}: check the path, or give a name without '/' and '.'."
            )
        else:
            name = str(reference)
            files = named_contents(template, {"cwd": self._cwd, "voice": name}, needed="voice")
            voice = Voice(name, digest({"voice": name, **files}), name)
        self._try(voice)
        return voice

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, `jobs` sentences at once. Raises EvalkitError without a command, and where no program can be run."""
        self._prepared()
        return speak_all(requests, self._speak, self._jobs, self._programs.stop)

    def close(self) -> None:
        self._programs.stop()

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        """A program in Python that hums one tone per letter, with a noise of its own for every seed."""
        program = folder / "hum.py"
        program.write_text(_HUM.format(pitch=110 + seed % 100), encoding="utf-8")
        return Example(
            checkpoint=None,
            texts=("hello there", "one more sentence to hum", "short one", "the last of four sentences is here"),
            settings=(f"template=python3 {program} {{text_file}} {{wav}} {{seed}}",),
        )

    def _prepared(self) -> Template:
        if self._template is None:
            raise EvalkitError("The engine 'command' has no program yet: call set_up first.")
        return self._template

    def _try(self, voice: Voice | None) -> None:
        """Let the program speak, and take its sample rate for the engine's."""
        outcome = self._run(Request("probe", PROBE, PROBE_SEED, voice))
        if outcome.status != "ok":
            raise EvalkitError(f"The command fails on a test sentence: {outcome.reason}{self._hint()}")
        self.spec = replace(self.spec, sample_rate=outcome.rate)

    def _hint(self) -> str:
        """The program runs elsewhere, so a path that is right in a shell here is not right there."""
        plain = {literal for word in self._prepared().words for literal, name in word if not name}
        here = sorted(word for word in plain if word and not os.path.isabs(word) and Path(self._cwd, word).exists())
        return f" (It runs in an empty folder: write {{cwd}}/{here[0]} for the {here[0]} that is here.)" if here else ""

    def _speak(self, request: Request) -> Speech:
        if request.phonemes is not None:
            return Speech(request.id, status="failed", reason="A command reads text and takes no phonemes.")
        if self.spec.needs_voice and request.voice is None:
            return Speech(request.id, status="bad_voice", reason="This command needs a voice: give --voice.")
        speech = self._run(request).speech(request, self.spec.sample_rate)
        return replace(speech, audio=speech.audio.to(self.device))

    def _run(self, request: Request) -> Outcome:
        return speak(self._programs, request, self._call, self._time_limit)

    def _call(self, request: Request, folder: Path, text_file: Path) -> Call:
        template, wav = self._prepared(), folder / "speech.wav"
        voice = str(request.voice.data) if request.voice else ""
        values = {
            "text": request.text,
            "text_file": str(text_file),
            "wav": str(wav),
            "seed": str(request.seed),
            "voice": voice,
            "cwd": self._cwd,
        }
        argv = [self._program, *template.filled(values)[1:]]
        reads_stdin = not template.used & {"text", "text_file"}
        return Call(argv, wav if "wav" in template.used else None, text_file if reads_stdin else None)


def _find_program(template: Template, cwd: str) -> str:
    """Absolute path of the first word, links left as they are: a virtual environment's Python is one."""
    if {name for _, name in template.words[0]} - {"", "cwd"}:
        raise EvalkitError(f"The command must begin with the program's name: {EXAMPLE}.")
    named = template.filled({"cwd": cwd} | dict.fromkeys(template.used - {"cwd"}, ""))[0]
    found = shutil.which(named)
    if found is None:
        raise EvalkitError(
            f"There is no program '{shown(named)}' to run: install it, or write its path, with {{cwd}} for this folder."
        )
    return os.path.abspath(found)


_HUM = """import math, random, struct, sys, wave
text, wav, seed = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2], int(sys.argv[3])
noise, samples = random.Random(seed), []
for letter in text:
    pitch = {pitch} + 7 * (ord(letter) % 32)
    for n in range(960):
        samples.append(0.3 * math.sin(2 * math.pi * pitch * n / 16000) + noise.uniform(-0.02, 0.02))
with wave.open(wav, "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(struct.pack("<%dh" % len(samples), *(int(32767 * s) for s in samples)))
"""
