"""Audio for the page: read one file at a time, embedded until the budget is spent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from reports.spectrogram import spectrogram_png

BUDGET = 12_000_000  # characters of base64 in one page


@dataclass(frozen=True)
class Clip:
    """What the page shows of an utterance's audio; `problem` says what is not there and why."""

    audio: str | None = None  # data URI
    picture: str | None = None  # data URI
    link: str | None = None  # relative to the run folder
    seconds: float = 0.0
    problem: str | None = None


class ClipReader:
    """Makes clips of a run folder's files. Audio beyond `budget` characters is linked to instead of embedded."""

    def __init__(self, run_dir: Path, budget: int = BUDGET) -> None:
        self._run_dir = run_dir
        self._left = budget

    def read(self, row: Mapping[str, Any]) -> Clip:
        """The clip of one utterance. Never raises for a file that is missing or cannot be decoded."""
        link = audio_link(row.get("audio"))
        if link is None:
            return Clip(problem="There is no audio of this utterance.")
        path = self._run_dir / row["audio"]
        try:
            stored = path.read_bytes()
            picture, seconds = _picture(path)
        except FileNotFoundError:
            return Clip(problem=f"The audio file {row['audio']} is missing from the run folder.")
        except (OSError, RuntimeError, ValueError) as error:  # soundfile's errors are RuntimeErrors
            return Clip(problem=f"The audio file {row['audio']} cannot be read: {_plain(error, path, row['audio'])}")
        audio = "data:audio/flac;base64," + base64.b64encode(stored).decode()
        if len(audio) > self._left:
            return Clip(picture=picture, link=link, seconds=seconds, problem="Not embedded, to keep this page small.")
        self._left -= len(audio)
        return Clip(audio, picture, link, seconds)


def audio_link(audio: object) -> str | None:
    """The quoted relative address of a row's audio; None where there is none or it points outside the run folder."""
    if not isinstance(audio, str) or not audio:
        return None
    path = PurePosixPath(audio)
    return None if path.is_absolute() or ".." in path.parts else quote(audio)


def _picture(path: Path) -> tuple[str, float]:
    """The spectrogram as a data URI, and the length in seconds."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if not len(samples):
        raise ValueError("it holds no samples")
    png = spectrogram_png(samples.mean(axis=1), rate)
    return "data:image/png;base64," + base64.b64encode(png).decode(), len(samples) / rate


def _plain(error: Exception, path: Path, name: str) -> str:
    return str(error).replace(str(path), name)
