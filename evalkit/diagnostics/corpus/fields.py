"""Which field of a manifest means what: the names that common manifests use, or those that the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.registry import unknown

ALIASES: Mapping[str, tuple[str, ...]] = {
    "audio": (
        *("audio", "audio_filepath", "audio_file", "audio_path", "path"),
        *("file", "file_name", "filename", "wav", "wav_path"),
    ),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text", "text_normalized", "raw_text"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id", "speaker_name", "reader", "reader_id"),
    "id": ("id", "utt_id", "utterance_id", "segment_id", "clip_id", "__key__", "key"),
    "start": ("start", "offset", "start_s", "begin"),
    "end": ("end", "end_s"),
    "seconds": ("duration", "seconds", "duration_s"),
}
"""Field -> names, the first that a manifest has counts."""


@dataclass(frozen=True)
class Fields:
    """Names of a manifest's own fields; None for what it does not have."""

    audio: str
    text: str | None = None
    speaker: str | None = None
    id: str | None = None
    start: str | None = None
    end: str | None = None
    seconds: str | None = None


def find_fields(names: Sequence[str], given: Mapping[str, str], origin: str) -> Fields:
    """given: field -> name, as the user says. Raises EvalkitError if that, or any name for the audio, is not there."""
    by_lower = {name.lower(): name for name in names}
    found: dict[str, str | None] = {}
    for field, aliases in ALIASES.items():
        if field in given:
            if given[field] not in names:
                raise EvalkitError(f"{origin}: {unknown('field', given[field], list(names))}")
            found[field] = given[field]
        else:
            found[field] = next((by_lower[alias] for alias in aliases if alias in by_lower), None)
    audio = found.pop("audio")
    if audio is None:
        raise EvalkitError(
            f"{origin} has no field for the audio ({', '.join(names) or 'none at all'}): "
            "name it with --field audio=NAME."
        )
    return Fields(audio, **found)


def part_of(line: Mapping[str, Any], fields: Fields, origin: str) -> tuple[float, float | None]:
    """Where in its file a line's clip begins, and how long it is, in seconds; (0, None) for the whole file.

    Raises EvalkitError for a part that has no end, or ends before it begins.
    """
    if fields.start is None:  # a length without a start is what a manifest says of a whole file, and no part of it
        return 0.0, None
    start = seconds_of(line, fields.start, origin) or 0.0
    end = seconds_of(line, fields.end, origin)
    if end is not None:
        if end <= start:
            raise EvalkitError(f"{origin}: the clip begins at {start:g} s and ends at {end:g} s.")
        return start, end - start
    seconds = seconds_of(line, fields.seconds, origin)
    if seconds is None and start:
        raise EvalkitError(
            f"{origin}: the clip begins at {start:g} s, and neither its length nor its end is said: name the field "
            "with --field seconds=NAME or --field end=NAME."
        )
    return start, seconds


def seconds_of(line: Mapping[str, Any], field: str | None, origin: str) -> float | None:
    """A number of seconds, or None where the field is absent or empty. Raises EvalkitError for anything else."""
    value = line.get(field) if field else None
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise EvalkitError(f"{origin}: '{value}' in '{field}' is no number of seconds.") from error
    if not 0 <= number < float("inf"):
        raise EvalkitError(f"{origin}: '{value}' in '{field}' is no number of seconds.")
    return number


def words_of(line: Mapping[str, Any], field: str | None) -> str | None:
    """A text without blanks around it, or None where there is nothing."""
    value = line.get(field) if field else None
    text = str(value).strip() if value is not None else ""
    return text or None
