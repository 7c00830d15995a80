"""Audio that exists already: a folder, or a CSV that says what each file should say and sound like."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.files import audio_files, sha256_file
from evalkit.pipeline.plan import Utterance
from evalkit.suites import Item

CSV_COLUMNS = ("audio", "id", "text", "spoken", "reference", "tags")


def plan_existing(path: Path, items: Sequence[Item] = ()) -> tuple[list[Utterance], str]:
    """Utterances for the audio under `path`, and a digest over all of it.

    path: a folder (text of `a.wav` in `a.txt` beside it, where there is one), or a CSV file with the column `audio`
    and optionally id, text, spoken, reference (file or folder) and tags ("name:value" separated by blanks); paths in
    it are relative to the file. items: of a suite; a file whose id is an item's ("in-001" or "in-001.r0") is judged
    by that item's text and entities. Raises EvalkitError on an empty folder, a bad header, or an id used twice.
    """
    if path.is_dir():
        planned = [_from_file(path, audio) for audio in audio_files(path)]
    elif path.suffix.lower() == ".csv" and path.is_file():
        planned = _from_csv(path)
    elif not path.exists():
        raise EvalkitError(f"{path} does not exist: give a folder of audio or a CSV file with a column 'audio'.")
    else:
        raise EvalkitError(
            f"{path} is neither a folder nor a .csv file: give a folder of audio or a CSV with a column 'audio'."
        )
    if not planned:
        raise EvalkitError(f"{path} holds no audio to score.")
    seen: dict[str, Path | None] = {}
    for utterance in planned:
        if utterance.id in seen:
            raise EvalkitError(
                f"Two files share the id '{utterance.id}' ({seen[utterance.id]} and {utterance.source}): rename one."
            )
        seen[utterance.id] = utterance.source
    planned = [_with_item(utterance, {item.id: item for item in items}) for utterance in planned]
    return planned, _digest(planned)


def _with_item(utterance: Utterance, items: Mapping[str, Item]) -> Utterance:
    item = items.get(re.sub(r"\.r\d+$", "", utterance.id))
    if item is None:
        return utterance
    return replace(utterance, item=replace(item, tags=item.tags + utterance.item.tags))


def _from_file(folder: Path, audio: Path) -> Utterance:
    beside = audio.with_suffix(".txt")
    text = beside.read_text(encoding="utf-8").strip() if beside.is_file() else ""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", audio.relative_to(folder).with_suffix("").as_posix())
    return _utterance(Item(name, text, text, (), ()), audio)


def _from_csv(path: Path) -> list[Utterance]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        if "audio" not in header:
            raise EvalkitError(
                f"{path} has no column 'audio' in its first line: name the columns {', '.join(CSV_COLUMNS)}."
            )
        return [_from_row(path, line, row) for line, row in enumerate(reader, start=2)]


def _from_row(path: Path, line: int, row: Mapping[str, str | None]) -> Utterance:
    named = (row.get("audio") or "").strip()
    if not named:
        raise EvalkitError(f"{path} line {line}: the column 'audio' is empty.")
    audio = path.parent / named
    text = (row.get("text") or "").strip()
    spoken = (row.get("spoken") or "").strip() or text
    identity = (row.get("id") or "").strip() or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(named).with_suffix("").as_posix())
    tags = tuple((row.get("tags") or "").split())
    return _utterance(Item(identity, text, spoken, (), tags), audio, _references(path, line, row.get("reference")))


def _references(path: Path, line: int, named: str | None) -> tuple[Path, ...]:
    if not named or not named.strip():
        return ()
    reference = path.parent / named.strip()
    found = (reference,) if reference.is_file() else tuple(audio_files(reference)) if reference.is_dir() else ()
    if not found:
        raise EvalkitError(f"{path} line {line}: the reference {named} is neither an audio file nor a folder of them.")
    return found


def _utterance(item: Item, audio: Path, references: tuple[Path, ...] = ()) -> Utterance:
    import soundfile

    try:
        info = soundfile.info(audio)
        rate, seconds = int(info.samplerate), float(info.duration)
    except (soundfile.LibsndfileError, RuntimeError):
        rate, seconds = None, 0.0  # the source finds out why and gives the utterance its status
    return Utterance(item.id, item, 0, 0, seconds, source=audio, sample_rate=rate, references=references)


def _digest(planned: list[Utterance]) -> str:
    parts = hashlib.sha256()
    for utterance in planned:
        assert utterance.source is not None
        content = sha256_file(utterance.source) if utterance.source.is_file() else "missing"
        references = [sha256_file(path) for path in utterance.references]
        parts.update(repr((utterance.id, content, utterance.item, references)).encode())
    return parts.hexdigest()
