"""Engines that are a program of the system, under their own names: what they share."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.base import EngineSpec, Example, Request, Setup, Speech, Voice
from evalkit.engines.command.process import Programs
from evalkit.engines.command.speaking import Call, Outcome, speak, speak_all
from evalkit.errors import EvalkitError
from evalkit.files import sha256_file
from metrics.options import complete

PROBE = "This is a short test."
ASK_LIMIT_S = 20.0


class InstalledProgram:
    """A program that is found on PATH, speaks every sentence in a process of its own, and says what it read.

    A subclass has the `spec`, with the options time_limit and jobs among its own, and the three methods at the end.
    """

    spec: EngineSpec
    program: ClassVar[str]
    install: ClassVar[str]  # how to get it
    ask_version: ClassVar[str] = "--version"  # the argument that makes it name its version

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.path = ""
        self._programs = Programs()
        self._options: Mapping[str, Any] = {name: option.default for name, option in self.spec.options.items()}
        self._identity: dict[str, str] = {}

    def set_up(self, setup: Setup) -> None:
        """Find the program, ask for its version, and let it speak once. Raises EvalkitError if it does not."""
        name = self.spec.name
        found = shutil.which(self.program)
        if found is None:
            raise EvalkitError(
                f"The engine '{name}' needs the program {self.program}, which is not installed: {self.install}."
            )
        self.path = found
        self._options = {**self._options, **setup.options}
        said = self.ask(self.ask_version)
        version = re.search(r"\d+\.\d+[\w.-]*", said)
        if version is None:
            raise EvalkitError(f"{found} does not name its version (it said '{shown(said)}'): {self.install}.")
        self._identity = {"program": self.program, "version": version[0], "sha256": sha256_file(Path(found))}
        self.check_voice(str(self._options["voice"]))
        request = Request("probe", PROBE, 0)
        outcome = self._run(request, self._options)
        if outcome.status != "ok":
            raise EvalkitError(f"{self.program} fails on a test sentence: {outcome.reason}")
        self.spec = replace(self.spec, sample_rate=outcome.rate, front_end=f"{name} {version[0]}")

    @property
    def identity(self) -> Mapping[str, str]:
        """The program's name, its version and the sha256 of its file."""
        return self._identity

    def load(self, weights: Mapping[str, Tensor]) -> str:
        raise EvalkitError(f"The engine '{self.spec.name}' takes no checkpoint: its voices are installed with it.")

    def weights(self) -> Mapping[str, Tensor]:
        return {}

    def prepare_voice(self, reference: Path, text: str | None) -> Voice:
        raise EvalkitError(f"The engine '{self.spec.name}' copies no voice: name one of its own with --set voice=NAME.")

    def synthesize(self, requests: Sequence[Request]) -> Sequence[Speech]:
        """Speak, `jobs` sentences at once. Raises EvalkitError if it was not set up, or no program can be run."""
        if not self.path:
            raise EvalkitError(f"The engine '{self.spec.name}' has no program yet: call set_up first.")
        return speak_all(requests, self._speak, int(self._options["jobs"]), self._programs.stop)

    def close(self) -> None:
        self._programs.stop()

    def ask(self, *arguments: str) -> str:
        """What the program prints, of itself, when it is run with these arguments. Raises EvalkitError if it fails."""
        try:
            done = subprocess.run(
                [self.path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=ASK_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EvalkitError(f"{self.path} does not run ({shown(error)}): {self.install}.") from error
        return done.stdout.decode("utf-8", "replace")

    def _speak(self, request: Request) -> Speech:
        if request.phonemes is not None:
            reason = f"The engine '{self.spec.name}' reads text and takes no phonemes."
            return Speech(request.id, status="failed", reason=reason)
        if request.voice is not None:
            reason = f"The engine '{self.spec.name}' takes no prepared voice."
            return Speech(request.id, status="bad_voice", reason=reason)
        try:
            options = complete(
                f"the engine '{self.spec.name}'", self.spec.options, {**self._options, **request.options}
            )
            self.check_voice(str(options["voice"]))
        except (ValueError, EvalkitError) as error:
            return Speech(request.id, status="failed", reason=str(error))
        outcome = self._run(request, options)
        read = self.phonemes(outcome.printed) if outcome.status == "ok" else None
        if read == "":
            reason = f"{self.program} found nothing to read in this text."
            return Speech(request.id, status="unknown_symbols", reason=reason)
        speech = outcome.speech(request, self.spec.sample_rate, read)
        return replace(speech, audio=speech.audio.to(self.device))

    def _run(self, request: Request, options: Mapping[str, Any]) -> Outcome:
        def call(_: Request, folder: Path, text_file: Path) -> Call:
            wav = folder / "speech.wav"
            return Call([self.path, *self.arguments(options, text_file, wav)], wav)

        return speak(self._programs, request, call, float(options["time_limit"]))

    @classmethod
    def example(cls, folder: Path, seed: int) -> Example:
        return Example(None, ("hello there", "one more sentence to say", "short one", "the last of four sentences"))

    def arguments(self, options: Mapping[str, Any], text_file: Path, wav: Path) -> list[str]:
        """What makes the program write `wav`, and its phonemes on stdout."""
        raise NotImplementedError

    def phonemes(self, printed: str) -> str:
        """The phonemes that it read, out of what it printed; "" if there were none."""
        raise NotImplementedError

    def check_voice(self, voice: str) -> None:
        """Raise EvalkitError for a voice that it has not."""
        raise NotImplementedError
