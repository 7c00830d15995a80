"""Audio that exists already: a folder, or a CSV that says what each file should say and sound like."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.errors import EvalkitError, some
from evalkit.files import audio_files, read_text, sha256_file
from evalkit.pipeline.plan import Utterance
from evalkit.suites import Item

CSV_COLUMNS = ("audio", "id", "text", "spoken", "reference", "tags")
# Audio that is not sure to be read. What cannot be read counts against coverage, as any other file that is broken does.
RARE_SUFFIXES = (".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".m4a", ".oga", ".w64", ".webm", ".wma")


def plan_existing(path: Path, items: Sequence[Item] = ()) -> tuple[list[Utterance], str]:
    """Utterances for the audio under `path`, and a digest over all of it.

    path: a folder (text of `a.wav` in `a.txt` beside it, where there is one), or a CSV file with the column `audio`
    and optionally id, text, spoken, reference (file or folder) and tags ("name:value" separated by blanks); paths in
    it are relative to the file. items: of a suite; every file is of one of them ("in-001" or "in-001.r0"), and is
    judged by that item's text and entities; an item without a file has an utterance without a source, which counts
    against coverage. Raises EvalkitError on an empty folder, a bad header, text that is not UTF-8, an id used twice, or
    files of no item.
    """
    if path.is_dir():
        planned = [_from_file(path, audio) for audio in _audio_of(path)]
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
    if items:
        planned = _of_suite(path, planned, items)
    return planned, _digest(planned)


def _audio_of(folder: Path) -> list[Path]:
    """Every audio file below a folder; of a sound that is there in a rare format too, only the usual one."""
    usual = audio_files(folder)
    known = {path.with_suffix("") for path in usual}
    rare = [p for p in folder.rglob("*") if p.suffix.lower() in RARE_SUFFIXES and p.is_file()]
    return sorted([*usual, *(path for path in rare if path.with_suffix("") not in known)])


def _of_suite(path: Path, planned: Sequence[Utterance], items: Sequence[Item]) -> list[Utterance]:
    """The utterances of every item, in the suite's order."""
    found: dict[str, list[Utterance]] = {item.id: [] for item in items}
    strangers: list[Utterance] = []
    for utterance in planned:
        name = utterance.id if utterance.id in found else re.sub(r"\.r\d+$", "", utterance.id)
        found.get(name, strangers).append(utterance)
    if strangers:
        raise EvalkitError(
            f"{path}: the suite has no item called {some([u.id for u in strangers])}. Name every file after its item "
            f"({items[0].id}.wav, or {items[0].id}.r0.wav), and move the others out."
        )
    return [_with_item(u, item) for item in items for u in found[item.id] or [_missing(item)]]


def _missing(item: Item) -> Utterance:
    return Utterance(item.id, item, 0, 0, 0.0)


def _with_item(utterance: Utterance, item: Item) -> Utterance:
    return replace(utterance, item=replace(item, tags=item.tags + utterance.item.tags))


def _from_file(folder: Path, audio: Path) -> Utterance:
    beside = audio.with_suffix(".txt")
    text = read_text(beside).strip() if beside.is_file() else ""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", audio.relative_to(folder).with_suffix("").as_posix())
    return _utterance(Item(name, text, text, (), ()), audio)


def _from_csv(path: Path) -> list[Utterance]:
    reader = csv.DictReader(io.StringIO(read_text(path)))
    try:
        if "audio" not in (reader.fieldnames or ()):
            raise EvalkitError(
                f"{path} has no column 'audio' in its first line: name the columns {', '.join(CSV_COLUMNS)}."
            )
        return [_from_row(path, line, row) for line, row in enumerate(reader, start=2)]
    except csv.Error as error:
        raise EvalkitError(f"{path} line {reader.line_num + 1} cannot be read as a CSV ({error}): mend it.") from error


def _from_row(path: Path, line: int, row: Mapping[str, str | None]) -> Utterance:
    named = (row.get("audio") or "").strip()
    if not named:
        raise EvalkitError(f"{path} line {line}: the column 'audio' is empty.")
    audio = path.parent / named
    text = (row.get("text") or "").strip()
    spoken = (row.get("spoken") or "").strip() or text
    identity = (row.get("id") or "").strip() or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(named).with_suffix("").as_posix())
    tags = tuple((row.get("tags") or "").split())
    return _utterance(Item(identity, text, spoken, (), tags), audio, references_of(path, line, row.get("reference")))


def references_of(path: Path, line: int, named: str | None) -> tuple[Path, ...]:
    """The clips that a line of the CSV `path` names as reference: a file or a folder, relative to the CSV; () of none.

    Raises EvalkitError when there is no such file and no audio in such a folder.
    """
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
        source = utterance.source
        content = sha256_file(source) if source is not None and source.is_file() else "missing"
        references = [sha256_file(path) for path in utterance.references]
        parts.update(repr((utterance.id, content, utterance.item, references)).encode())
    return parts.hexdigest()
