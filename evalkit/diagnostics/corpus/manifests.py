"""Manifests with a line per clip: CSV, TSV, JSONL, and the `metadata.csv` of LJSpeech."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.fields import ALIASES, Fields, find_fields, part_of, words_of
from evalkit.diagnostics.corpus.texts import open_text
from evalkit.errors import EvalkitError
from evalkit.files import AUDIO_SUFFIXES
from evalkit.registry import unknown

LONGEST_CELL = 2**24  # characters; csv's own limit refuses long texts


def clips_of_ljspeech(metadata: Path) -> Iterator[Clip]:
    """`id|text[|normalised text]` without a heading; audio in `wavs/` beside it, or beside it. One speaker."""
    folder = metadata.parent
    speaker = folder.resolve().name
    with open_text(metadata) as lines:
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
    names = {part.strip().lower() for part in first.split("|")}
    return "|" in first and not names & set(ALIASES["audio"])


def clips_of_csv(path: Path, given: Mapping[str, str]) -> Iterator[Clip]:
    """A table with a heading, separated by commas, semicolons, tabs or bars.

    With tabs or bars a quote is a sign like any other, unless it stands around a whole cell.
    """
    rows = _rows(path)
    _, heading = next(rows, (0, []))
    names = [name.strip() for name in heading]
    fields = find_fields(names, given, str(path))
    for number, cells in rows:
        if any(cell.strip() for cell in cells[len(names) :]):
            raise EvalkitError(
                f"{path} line {number} has {len(cells)} cells, and the heading {len(names)}: put quotes around a text "
                "that holds the separator."
            )
        yield clip_of_line(dict(zip(names, cells, strict=False)), fields, path, number)


def clips_of_jsonl(path: Path, given: Mapping[str, str]) -> Iterator[Clip]:
    """One JSON object a line, as NeMo and many others write it. Lines need not have the same fields."""
    unseen = {name for field, name in given.items() if field != "audio"}
    optional, names = sorted(unseen), list[str]()
    with open_text(path) as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            line = _parsed(text, path, number)
            names = list(line)
            unseen -= line.keys()
            fields = find_fields([*names, *optional], given, f"{path} line {number}")
            yield clip_of_line(line, fields, path, number)
    if unseen and names:
        raise EvalkitError(f"{path}: {unknown('field', min(unseen), names)}")


def clip_of_line(line: Mapping[str, Any], fields: Fields, path: Path, number: int) -> Clip:
    """The clip of one line of a manifest; a relative path is relative to the manifest's folder, or to `clips` in it."""
    origin = f"{path} line {number}"
    named = words_of(line, fields.audio)
    if named is None:
        raise EvalkitError(f"{origin}: the field '{fields.audio}' is empty.")
    start, seconds = part_of(line, fields, origin)
    identity = words_of(line, fields.id) or (f"{named}@{start:g}" if fields.start else named)
    speaker = words_of(line, fields.speaker) or path.parent.resolve().name
    return Clip(identity, speaker, words_of(line, fields.text), File(_audio(path.parent, named), start, seconds))


def _audio(folder: Path, named: str) -> Path:
    """Common Voice names files that lie in `clips`."""
    places = (folder / named, folder / "clips" / named)
    return next((place for place in places if os.path.isfile(place)), places[0])


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record, and the last of its lines. Raises EvalkitError for a quote that swallows records."""
    taken: list[str] = []  # lines of the record that is being read

    def lines() -> Iterator[str]:
        for line in file:
            taken.append(line)
            yield line

    with open_text(path) as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(",\t|;", key=first.count)
        plain = delimiter in "\t|"
        reader = csv.reader(lines(), delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL)
        try:
            for cells in _records(reader):
                if any(line.count(delimiter) >= first.count(delimiter) for line in taken[1:]):
                    begins, ends = reader.line_num - len(taken) + 1, reader.line_num
                    raise EvalkitError(
                        f"{path} line {begins}: a quote opens there, and what it holds up to line {ends} looks like "
                        "other clips: close it, or write the text in one line."
                    )
                taken.clear()
                if cells:
                    yield reader.line_num, [_unquoted(cell) for cell in cells] if plain else cells
        except csv.Error as error:
            begins = reader.line_num - len(taken) + 1
            raise EvalkitError(f"{path} line {begins} cannot be read as a line of a table ({error}).") from error


def _records(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """What a csv.reader reads, with long cells. The limit is the whole process's: others find theirs in between."""
    while True:
        before = csv.field_size_limit(LONGEST_CELL)
        try:
            cells = next(lines, None)
        finally:
            csv.field_size_limit(before)
        if cells is None:
            return
        yield cells


def _unquoted(cell: str) -> str:
    """A cell without the quotes around it, in which quotes are doubled; any other cell as it is."""
    inner = cell[1:-1].replace('""', "")
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner
    return cell[1:-1].replace('""', '"') if whole else cell


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
