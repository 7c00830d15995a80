"""Lhotse manifests: cuts, or recordings with supervisions; JSONL, plain or gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.fields import seconds_of, words_of
from evalkit.diagnostics.corpus.texts import open_text
from evalkit.errors import EvalkitError

RECORDINGS, SUPERVISIONS, CUTS = "recordings", "supervisions", "cuts"


def parts_of(folder: Path) -> dict[str, list[Path]]:
    """The manifests of a folder by kind; {} if it has none. `ljspeech_recordings_train.jsonl.gz` is one too."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl*")):
        kind = next((kind for kind in (CUTS, SUPERVISIONS, RECORDINGS) if kind in path.name), None)
        if kind is not None and path.name.endswith((".jsonl", ".jsonl.gz")):
            found.setdefault(kind, []).append(path)
    return found


def is_lhotse(path: Path) -> bool:
    """Whether the first line of a JSONL is a cut of Lhotse."""
    try:
        line = next(_lines(path), ("", {}))[1]
    except EvalkitError:
        return False
    return {"recording", "supervisions", "start", "duration"} <= line.keys()


def clips_of_parts(parts: Mapping[str, Sequence[Path]]) -> Iterator[Clip]:
    """parts: as `parts_of` gives them. Cuts say everything, and so come first."""
    if CUTS in parts:
        return clips_of_cuts(parts[CUTS])
    return clips_of_recordings(parts[RECORDINGS], parts.get(SUPERVISIONS, ()))


def clips_of_cuts(paths: Sequence[Path]) -> Iterator[Clip]:
    """One clip per cut. Cuts of several recordings (MixedCut) are refused."""
    for path in paths:
        for place, cut in _lines(path):
            if not isinstance(cut.get("recording"), dict):
                raise EvalkitError(
                    f"{place} is no cut of a single recording: save what it mixes as a recording of its own "
                    "(cuts.save_audios), and give cuts of that."
                )
            said = cut.get("supervisions") or [{}]
            speaker = words_of(said[0], "speaker") or path.parent.resolve().name
            text = " ".join(words for one in said if (words := words_of(one, "text"))) or None
            yield Clip(str(cut["id"]), speaker, text, _part(cut["recording"], cut, path.parent, place))


def clips_of_recordings(recordings: Sequence[Path], supervisions: Sequence[Path]) -> Iterator[Clip]:
    """One clip per supervision, or per recording where there are none."""
    if not supervisions:
        for path in recordings:
            for place, recording in _lines(path):
                audio = File(_source(recording, path.parent, place))
                yield Clip(str(recording["id"]), path.parent.resolve().name, None, audio)
        return
    known = {recording["id"]: (recording, path.parent) for path in recordings for _, recording in _lines(path)}
    for path in supervisions:
        for place, said in _lines(path):
            if said.get("recording_id") not in known:
                raise EvalkitError(f"{place}: there is no recording '{said.get('recording_id')}' in the recordings.")
            recording, folder = known[said["recording_id"]]
            speaker = words_of(said, "speaker") or path.parent.resolve().name
            yield Clip(str(said["id"]), speaker, words_of(said, "text"), _part(recording, said, folder, place))


def _part(recording: Mapping[str, Any], part: Mapping[str, Any], folder: Path, place: str) -> File:
    """part: a cut or a supervision, which says the start, the length and the channels."""
    start, seconds = (seconds_of(part, name, place) for name in ("start", "duration"))
    if start is None or seconds is None:
        raise EvalkitError(f"{place} has no start or no duration: write both, in seconds.")
    return File(_source(recording, folder, place), start, seconds, _channels(recording, part, place))


def _channels(recording: Mapping[str, Any], part: Mapping[str, Any], place: str) -> tuple[int, ...]:
    """Which channels of its file a part is; () where it is all of them, or does not say."""
    said = part.get("channel")
    wanted = said if isinstance(said, list) else [] if said is None else [said]
    held = recording["sources"][0].get("channels") or []
    if missing := [one for one in wanted if one not in held]:
        raise EvalkitError(f"{place}: there is no channel {missing[0]} in the recording '{recording.get('id')}'.")
    only = sorted(held.index(one) for one in wanted)
    return () if len(only) == len(held) else tuple(only)


def _source(recording: Mapping[str, Any], folder: Path, place: str) -> Path:
    sources = recording.get("sources") or []
    if len(sources) != 1 or sources[0].get("type") != "file" or not sources[0].get("source"):
        raise EvalkitError(f"{place}: the recording '{recording.get('id')}' is not one file: evalkit reads files only.")
    return folder / str(sources[0]["source"])


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with open_text(path) as lines:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            place = f"{path} line {number}"
            try:
                line = json.loads(text)
            except ValueError as error:
                raise EvalkitError(f"{place} is no JSON ({error}).") from error
            if not isinstance(line, dict) or "id" not in line:
                raise EvalkitError(f"{place} is nothing that Lhotse writes: it has no id.")
            yield place, line
