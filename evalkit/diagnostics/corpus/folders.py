"""A folder of audio: the folders in it are speakers, the text of a clip lies beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.texts import read_text
from evalkit.diagnostics.corpus.walking import walk
from evalkit.files import AUDIO_SUFFIXES

_TEXTS = (".normalized.txt", ".txt", ".lab")  # of LibriTTS, of most, of Kaldi's and Festival's kin


def clips_of_folder(folder: Path) -> Iterator[Clip]:
    """Every audio file below the folder, in the order of its path.

    The speaker is the first folder below `folder`; files that lie directly in it are of one speaker of its name. A
    text is in `a.txt`, `a.normalized.txt` or `a.lab` beside `a.wav`, or in a `*.trans.txt` of its folder (LibriSpeech).
    A folder that cannot be read is a clip that cannot be. Raises EvalkitError for a text that cannot be read.
    """
    for place, names in walk(folder):
        relative = place.relative_to(folder)
        speaker = relative.parts[0] if relative.parts else folder.resolve().name
        if names is None:
            yield Clip(relative.as_posix(), speaker, None, File(place))
            continue
        listed = _transcripts(place, [name for name in names if name.endswith(".trans.txt")])
        for name in names:
            if PurePath(name).suffix.lower() in AUDIO_SUFFIXES:
                path = place / name
                text = listed.get(path.stem) or _beside(path)
                yield Clip((relative / path.stem).as_posix(), speaker, text, File(path))


def _transcripts(place: Path, names: list[str]) -> Mapping[str, str]:
    listed: dict[str, str] = {}
    for name in names:
        for line in read_text(place / name).splitlines():
            key, _, text = line.strip().partition(" ")
            if text:
                listed[key] = text
    return listed


def _beside(audio: Path) -> str | None:
    for suffix in _TEXTS:
        beside = audio.with_name(audio.stem + suffix)
        if os.path.isfile(beside):  # False, and no error, in a folder that may be listed and not entered
            return read_text(beside).strip() or None
    return None
