"""flite: small unit-selection and statistical voices of Carnegie Mellon, a baseline that needs no weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.engines.base import EngineSpec
from evalkit.engines.command.installed import InstalledProgram
from evalkit.engines.command.speaking import JOBS, TIME_LIMIT
from evalkit.errors import EvalkitError
from evalkit.registry import unknown
from metrics.options import Option

_PAUSE = "pau"


class Flite(InstalledProgram):
    """flite as it is installed. Tells the phones that it read (`-ps`, ARPAbet), from the same run that spoke."""

    program = "flite"
    install = "install it (apt install flite)"
    spec = EngineSpec(
        name="flite",
        version="1",
        layouts=(),
        sample_rate=16000,
        front_end="flite",
        options={
            "voice": Option("slt", "a voice that is built into flite (flite -lv)"),
            "speed": Option(1.0, "how fast to speak: 2 is twice as fast", low=0.25, high=4.0),
            "time_limit": TIME_LIMIT,
            "jobs": JOBS,
        },
        batch_exact=True,
        weights="none",
        operating=("time_limit", "jobs"),
    )

    def arguments(self, options: Mapping[str, Any], text_file: Path, wav: Path) -> list[str]:
        stretch = f"duration_stretch={1 / float(options['speed']):.6f}"
        return ["-voice", str(options["voice"]), "--setf", stretch, "-ps", "-f", str(text_file), "-o", str(wav)]

    def phonemes(self, printed: str) -> str:
        phones = printed.split()
        return " ".join(phones) if any(phone != _PAUSE for phone in phones) else ""

    @cached_property
    def _voices(self) -> frozenset[str]:
        return frozenset(self.ask("-lv").partition(":")[2].split())

    def check_voice(self, voice: str) -> None:
        # flite takes a name that it does not know for its own voice, and downloads one that is an address.
        if voice not in self._voices:
            raise EvalkitError(unknown("voice of flite", voice, self._voices))
