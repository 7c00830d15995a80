"""Programs that speak, or fail to, written by a test as a Python script."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

# What every script has: `speak(path or None, text, rate, channels)` writes a WAV of 10 ms per letter.
PREAMBLE = """\
import io, os, struct, sys, time, wave


def speak(path, text, rate=16000, channels=1, pitch=100):
    samples = [((n % pitch) * 100 + c * 1000) for n in range(len(text) * rate // 100) for c in range(channels)]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(struct.pack("<%dh" % len(samples), *samples))
    if path is None:
        sys.stdout.buffer.write(buffer.getvalue())
    else:
        open(path, "wb").write(buffer.getvalue())


"""


def program(folder: Path, body: str, arguments: str = "{text} {wav}") -> str:
    """The template of a script with `body`; its arguments are in sys.argv."""
    script = folder / f"program{len(list(folder.glob('program*.py')))}.py"
    script.write_text(PREAMBLE + body, encoding="utf-8")
    return f"{shlex.quote(sys.executable)} -S -E {shlex.quote(str(script))} {arguments}"
