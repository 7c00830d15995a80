"""Manifests with a line per clip: CSV, TSV, JSONL, and the `metadata.csv` of LJSpeech."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.fields import Fields, find_fields, seconds_of, words_of
from evalkit.errors import EvalkitError
from evalkit.files import AUDIO_SUFFIXES

LONGEST_CELL = 2**24  # characters; csv's own limit refuses long texts


def clips_of_ljspeech(metadata: Path) -> Iterator[Clip]:
    """`id|text[|normalised text]` without a heading; audio in `wavs/` beside it, or beside it. One speaker."""
    folder = metadata.parent
    speaker = folder.resolve().name
    with metadata.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            parts = [part.strip() for part in line.rstrip("\r\n").split("|")]
            if parts == [""]:
                continue
            if len(parts) < 2 or not parts[0]:
                raise EvalkitError(f"{metadata} line {number}: write it as id|text or id|text|normalised text.")
            yield Clip(parts[0], speaker, parts[-1] or parts[1] or None, File(_ljspeech_audio(folder, parts[0])))


def is_ljspeech(path: Path) -> bool:
    """Whether a .csv is written with bars, and without a heading that names the audio."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        first = lines.readline()
    return "|" in first and first.split("|")[0].strip().lower() not in ("audio", "path", "file", "audio_file")


def clips_of_csv(path: Path, given: Mapping[str, str]) -> Iterator[Clip]:
    """A table with a heading, separated by commas, tabs or bars."""
    csv.field_size_limit(LONGEST_CELL)
    with open_text(path) as file:
        heading = file.readline()
        delimiter = max(",\t|;", key=heading.count)
        file.seek(0)
        reader = csv.DictReader(file, delimiter=delimiter)
        fields = find_fields(list(reader.fieldnames or ()), given, str(path))
        for line in reader:
            yield clip_of_line(line, fields, path, reader.line_num)


def clips_of_jsonl(path: Path, given: Mapping[str, str]) -> Iterator[Clip]:
    """One JSON object a line, as NeMo and many others write it."""
    fields: Fields | None = None
    with open_text(path) as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            line = _parsed(text, path, number)
            fields = fields or find_fields(list(line), given, f"{path} line {number}")
            yield clip_of_line(line, fields, path, number)


def clip_of_line(line: Mapping[str, Any], fields: Fields, path: Path, number: int) -> Clip:
    """The clip of one line of a manifest; a relative path is relative to the manifest's folder."""
    origin = f"{path} line {number}"
    named = words_of(line, fields.audio)
    if named is None:
        raise EvalkitError(f"{origin}: the field '{fields.audio}' is empty.")
    start = seconds_of(line, fields.start, origin) or 0.0
    # A length without a start is what a manifest says of a whole file, and no part of it.
    seconds = seconds_of(line, fields.seconds, origin) if fields.start else None
    identity = words_of(line, fields.id) or (f"{named}@{start:g}" if fields.start else named)
    speaker = words_of(line, fields.speaker) or path.parent.resolve().name
    return Clip(identity, speaker, words_of(line, fields.text), File(path.parent / named, start, seconds))


def _ljspeech_audio(folder: Path, name: str) -> Path:
    suffixes = ("",) if Path(name).suffix.lower() in AUDIO_SUFFIXES else (".wav", *AUDIO_SUFFIXES)
    places = [place / f"{name}{suffix}" for suffix in suffixes for place in (folder / "wavs", folder)]
    return next((path for path in places if path.is_file()), places[0])


def _parsed(text: str, path: Path, number: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise EvalkitError(f"{path} line {number} is no JSON ({error}).") from error
    if not isinstance(line, dict):
        raise EvalkitError(f"{path} line {number} is no JSON object.")
    return line


def open_text(path: Path) -> IO[str]:
    """A text file, plain or gzipped."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
