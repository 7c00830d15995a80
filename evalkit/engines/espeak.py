"""espeak-ng: formant synthesis by rules, a baseline that needs no weights."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.checkpoints.safe_keys import shown
from evalkit.engines.base import EngineSpec
from evalkit.engines.command.installed import InstalledProgram
from evalkit.engines.command.speaking import JOBS, TIME_LIMIT
from evalkit.errors import EvalkitError
from evalkit.registry import unknown
from metrics.options import Option

_SWITCH = re.compile(r"\([a-z][A-Za-z0-9-]*\)")  # "(hi)": from here on another language's rules


class EspeakNg(InstalledProgram):
    """espeak-ng as it is installed. Tells the phonemes that it read (`--ipa`), from the same run that spoke."""

    program = "espeak-ng"
    install = "install it (apt install espeak-ng)"
    spec = EngineSpec(
        name="espeak-ng",
        version="1",
        layouts=(),
        sample_rate=22050,
        front_end="espeak-ng",
        options={
            "voice": Option("en-us", "a language or voice of espeak-ng (espeak-ng --voices), with a variant: en-us+f3"),
            "speed": Option(175, "words per minute", low=80, high=450),
            "pitch": Option(50, "pitch", low=0, high=99),
            "time_limit": TIME_LIMIT,
            "jobs": JOBS,
        },
        batch_exact=True,
        weights="none",
        operating=("time_limit", "jobs"),
    )

    def arguments(self, options: Mapping[str, Any], text_file: Path, wav: Path) -> list[str]:
        speed, pitch = str(int(options["speed"])), str(int(options["pitch"]))
        voice = ["-v", str(options["voice"]), "-s", speed, "-p", pitch]
        return [*voice, "--ipa", "-b", "1", "-f", str(text_file), "-w", str(wav)]

    def phonemes(self, printed: str) -> str:
        return " ".join(_SWITCH.sub("", printed).split())

    @cached_property
    def _voices(self) -> frozenset[str]:
        """Languages, names and files that `espeak-ng --voices` lists."""
        known: set[str] = set()
        for line in self.ask("--voices").splitlines()[1:]:
            columns = line.split()
            known.update(columns[1:2] + columns[3:5])
            known.update(re.findall(r"\(([\w-]+) \d+\)", line))
        return frozenset(name.lower() for name in known)

    @cached_property
    def _variants(self) -> frozenset[str]:
        """Files that `espeak-ng --voices=variant` lists, and the numbers that stand for m1 to m9 and f1 to f9."""
        files = re.findall(r"!v/(.+?) *$", self.ask("--voices=variant"), re.MULTILINE)
        numbers = {f"{sex}{n}": f"{tens}{n}" for sex, tens in (("m", ""), ("f", "1")) for n in range(1, 10)}
        return frozenset([*files, *(numbers[file] for file in files if file in numbers)])

    def check_voice(self, voice: str) -> None:
        name, plus, variant = voice.partition("+")
        name = name.lower()
        if plus and variant not in self._variants:  # espeak-ng would speak without it, and say nothing
            raise EvalkitError(unknown("variant of espeak-ng's voices", variant, self._variants))
        if name not in self._voices:
            close = difflib.get_close_matches(name, self._voices, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "espeak-ng --voices lists them."
            raise EvalkitError(f"Unknown voice of espeak-ng '{shown(voice)}': {hint}")
