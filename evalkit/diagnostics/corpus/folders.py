"""A folder of audio: the folders in it are speakers, the text of a clip lies beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.files import AUDIO_SUFFIXES

_TEXTS = (".normalized.txt", ".txt", ".lab")  # of LibriTTS, of most, of Kaldi's and Festival's kin


def clips_of_folder(folder: Path) -> Iterator[Clip]:
    """Every audio file below the folder, in the order of its path.

    The speaker is the first folder below `folder`; files that lie directly in it are of one speaker of its name. A
    text is in `a.txt`, `a.normalized.txt` or `a.lab` beside `a.wav`, or in a `*.trans.txt` of its folder (LibriSpeech).
    """
    for place in _folders(folder):
        names = sorted(entry.name for entry in os.scandir(place) if entry.is_file())
        listed = _transcripts(place, [name for name in names if name.endswith(".trans.txt")])
        for name in names:
            path = place / name
            if path.suffix.lower() in AUDIO_SUFFIXES:
                relative = path.relative_to(folder)
                speaker = relative.parts[0] if len(relative.parts) > 1 else folder.resolve().name
                text = listed.get(path.stem) or _beside(path)
                yield Clip(relative.with_suffix("").as_posix(), speaker, text, File(path))


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and those below it, in the order of their paths; no list of files is ever held."""
    for place, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(place)


def _transcripts(place: Path, names: list[str]) -> Mapping[str, str]:
    listed: dict[str, str] = {}
    for name in names:
        for line in (place / name).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, text = line.strip().partition(" ")
            if text:
                listed[key] = text
    return listed


def _beside(audio: Path) -> str | None:
    for suffix in _TEXTS:
        beside = audio.with_name(audio.stem + suffix)
        if beside.is_file():
            return beside.read_text(encoding="utf-8", errors="replace").strip() or None
    return None
