"""Lhotse manifests: cuts, or recordings with supervisions; JSONL, plain or gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.diagnostics.corpus.clip import Clip, File
from evalkit.diagnostics.corpus.manifests import open_text
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
            if "recording" not in cut:
                raise EvalkitError(f"{place} is no cut of a single recording: give MonoCuts (cuts.to_eager()).")
            said = cut.get("supervisions") or [{}]
            speaker = said[0].get("speaker") or path.parent.resolve().name
            text = " ".join(one["text"] for one in said if one.get("text")) or None
            audio = _audio(cut["recording"], path.parent, place, float(cut["start"]), float(cut["duration"]))
            yield Clip(str(cut["id"]), str(speaker), text, audio)


def clips_of_recordings(recordings: Sequence[Path], supervisions: Sequence[Path]) -> Iterator[Clip]:
    """One clip per supervision, or per recording where there are none."""
    if not supervisions:
        for path in recordings:
            for place, recording in _lines(path):
                yield Clip(
                    str(recording["id"]), path.parent.resolve().name, None, _audio(recording, path.parent, place)
                )
        return
    known = {recording["id"]: (recording, path.parent) for path in recordings for _, recording in _lines(path)}
    for path in supervisions:
        for place, said in _lines(path):
            if said.get("recording_id") not in known:
                raise EvalkitError(f"{place}: there is no recording '{said.get('recording_id')}' in the recordings.")
            recording, folder = known[said["recording_id"]]
            audio = _audio(recording, folder, place, float(said["start"]), float(said["duration"]))
            speaker = str(said.get("speaker") or path.parent.resolve().name)
            yield Clip(str(said["id"]), speaker, said.get("text") or None, audio)


def _audio(
    recording: Mapping[str, Any], folder: Path, place: str, start: float = 0.0, seconds: float | None = None
) -> File:
    sources = recording.get("sources") or []
    if len(sources) != 1 or sources[0].get("type") != "file":
        raise EvalkitError(f"{place}: the recording '{recording.get('id')}' is not one file: evalkit reads files only.")
    return File(folder / sources[0]["source"], start, seconds)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with open_text(path) as lines:
        for number, text in enumerate(lines, start=1):
            place = f"{path} line {number}"
            try:
                line = json.loads(text)
            except ValueError as error:
                raise EvalkitError(f"{place} is no JSON ({error}).") from error
            if not isinstance(line, dict) or "id" not in line:
                raise EvalkitError(f"{place} is nothing that Lhotse writes: it has no id.")
            yield place, line
