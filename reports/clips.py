"""Audio for the page: read one file at a time, embedded until the budget is spent."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
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
            audio, picture, seconds = _read(path)
        except FileNotFoundError:
            return Clip(problem=f"The audio file {row['audio']} is missing.")
        except (OSError, RuntimeError, ValueError) as error:  # soundfile's errors are RuntimeErrors
            return Clip(problem=f"The audio file {row['audio']} cannot be read: {_plain(error)}")
        if len(audio) > self._left:
            return Clip(picture=picture, link=link, seconds=seconds, problem="Not embedded, to keep this page small.")
        self._left -= len(audio)
        return Clip(audio, picture, link, seconds)


def audio_link(audio: object) -> str | None:
    """The quoted address of a row's audio relative to the run folder; None where there is none, or an absolute path."""
    if not isinstance(audio, str) or not audio or PurePath(audio).is_absolute():
        return None
    return quote(audio)


def clip_of(samples: Any, rate: int) -> Clip:
    """The clip of samples in memory, float32 [samples], embedded as 16-bit FLAC."""
    picture = spectrogram_png(samples, rate)
    return Clip(
        _data_uri("audio/flac", _flac(samples, rate)), _data_uri("image/png", picture), None, len(samples) / rate
    )


def _read(path: Path) -> tuple[str, str, float]:
    """Audio and spectrogram as data URIs, and the length in seconds. What is not FLAC becomes 16-bit FLAC."""
    import soundfile

    stored = path.read_bytes()
    samples, rate = soundfile.read(io.BytesIO(stored), dtype="float32", always_2d=True)
    if not len(samples):
        raise ValueError("it holds no samples.")
    if not stored.startswith(b"fLaC"):
        stored = _flac(samples, rate)
    picture = spectrogram_png(samples.mean(axis=1), rate)
    return _data_uri("audio/flac", stored), _data_uri("image/png", picture), len(samples) / rate


def _flac(samples: Any, rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _plain(error: Exception) -> str:
    """The reason alone, without the address of the buffer or the path of the file."""
    if isinstance(error, OSError):
        return f"{error.strerror}."
    return str(getattr(error, "error_string", error))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
