"""A Kaldi data folder: `wav.scp`, and `segments`, `utt2spk` and `text` where it has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.texts import open_text
from evalkit.errors import EvalkitError

TO_THE_END = -1.0  # as the end of a segment


def clips_of_kaldi(scp: Path) -> Iterator[Clip]:
    """scp: the `wav.scp`. Raises EvalkitError on a line that is a command: evalkit runs nothing that data says."""
    folder = scp.parent
    speakers, texts = _table(folder / "utt2spk"), _table(folder / "text")
    one = folder.resolve().name
    segments = folder / "segments"
    if not segments.is_file():
        for name, path in _recordings(scp):
            yield Clip(name, speakers.get(name, one), texts.get(name), File(path))
        return
    recordings = dict(_recordings(scp))
    for number, line in _lines(segments):
        name, audio = _segment(line.split(), recordings, f"{segments} line {number}")
        yield Clip(name, speakers.get(name, one), texts.get(name), audio)


def _segment(parts: list[str], recordings: Mapping[str, Path], origin: str) -> tuple[str, File]:
    """`utterance recording start end [channel]`, in seconds; an end of -1 is that of the file."""
    try:
        name, recording, start, end = parts[0], recordings[parts[1]], float(parts[2]), float(parts[3])
        channels = tuple(int(part) for part in parts[4:5])
    except (IndexError, KeyError, ValueError) as error:
        raise EvalkitError(
            f"{origin}: write it as utterance recording start end, with a recording of wav.scp."
        ) from error
    if not (start >= 0 and math.isfinite(start) and (end == TO_THE_END or start < end < math.inf)):
        raise EvalkitError(
            f"{origin}: a segment from {parts[2]} to {parts[3]} s is no part of a recording: give a start, and a "
            "later end or -1."
        )
    return name, File(recording, start, None if end == TO_THE_END else end - start, channels)


def _recordings(scp: Path) -> Iterator[tuple[str, Path]]:
    for number, line in _lines(scp):
        name, _, said = line.partition(" ")
        said = said.strip()
        if said.endswith("|"):
            raise EvalkitError(
                f"{scp} line {number} is a command ('{said[:40]}'), and evalkit runs nothing that a data set says: "
                "write the audio to files first (wav-copy), and name them."
            )
        if not said:
            raise EvalkitError(f"{scp} line {number}: write it as name path.")
        yield name, scp.parent / said


def _table(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition(" ") for _, line in _lines(path))
    return {name: text.strip() for name, _, text in pairs if text.strip()}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers in the file."""
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line.strip().replace("\t", " ")
