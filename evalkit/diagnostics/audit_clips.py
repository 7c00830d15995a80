"""The speech that a metric is audited on: found, read, and brought to one level."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from evalkit.errors import EvalkitError
from evalkit.files import audio_files, read_text
from evalkit.pipeline.audio import read_audio, unusable
from metrics import ClipInfo, Entity, MetricSpec

LEVEL_DBFS = (
    -26.0
)  # nominal RMS of listening tests (ITU-T P.56, P.800): noise at -5 dB and +6 dB of gain stay unclipped
HEADROOM_DB = 6.0
LONGEST_S = 8.0  # longer clips are cut, where no text says what they hold
INDEX = "index.jsonl"  # beside clips whose texts and entities are known
_FIXTURES = Path(__file__).parents[2] / "fixtures" / "audio"


@dataclass(frozen=True)
class AuditClip:
    """A file of speech and what a metric may want to know of it."""

    path: Path
    info: ClipInfo


def find_clips(folder: Path | None, spec: MetricSpec, limit: int) -> list[AuditClip]:
    """At most `limit` clips of a folder, evenly spaced, with what the metric needs: texts, entities, a reference.

    folder: None for the clips of a checkout. Text comes from `a.txt` beside `a.wav`, or with the entities from the
    folder's `index.jsonl` (file, text, spelling, accepted, wrong, right); the reference of a clip are the other clips
    in its folder. Raises EvalkitError when there is nothing that the metric can be audited on.
    """
    with_text = bool(spec.needs & {"text", "entities"})
    if "phonemes" in spec.needs:
        raise EvalkitError(f"The metric '{spec.name}' reads no audio, so there is nothing to audit it on.")
    if folder is None:
        folder = _FIXTURES / ("readings" if with_text else "reference")
        if not folder.is_dir():
            raise EvalkitError("There are no built-in clips outside a checkout of evalkit: give speech with --clips.")
    clips = _clips(folder, with_text)
    if with_text:
        clips = [clip for clip in clips if clip.info.text and ("entities" not in spec.needs or clip.info.entities)]
    if "reference" in spec.needs:
        clips = [clip for clip in clips if clip.info.reference]
    if not clips:
        needed = ", ".join(sorted(spec.needs)) or "audio"
        raise EvalkitError(
            f"{folder} holds no clips that '{spec.name}' can be audited on (it needs {needed}): texts belong into "
            f"a.txt beside a.wav or into {INDEX}, references are the other clips of a folder."
        )
    places = np.linspace(0, len(clips) - 1, min(limit, len(clips))).round().astype(int)
    return [clips[place] for place in places]


def read_clip(clip: AuditClip) -> tuple[Tensor, int]:
    """float32 [samples] at -26 dBFS RMS (less where 6 dB more would clip) and the rate.

    Of a clip without text the first 8 s. Raises EvalkitError when the file is not audio or has nothing to score.
    """
    audio, rate = read_audio(clip.path)
    if problem := unusable(audio, rate):
        raise EvalkitError(f"{clip.path} cannot be used for an audit: {problem[1]} Give clips of clear speech.")
    if clip.info.text is None:
        audio = audio[: int(LONGEST_S * rate)]
    rms, peak = float(audio.double().square().mean().sqrt()), float(audio.abs().max())
    gain = min(10 ** (LEVEL_DBFS / 20) / rms, 10 ** (-HEADROOM_DB / 20) / peak)
    return audio * gain, rate


def _clips(folder: Path, with_text: bool) -> list[AuditClip]:
    if not folder.is_dir():
        raise EvalkitError(f"There is no folder {folder}: give one that holds clips of speech.")
    known = _index(folder)
    files = audio_files(folder)
    clips = []
    for path in files:
        entry = known.get(path.name, {})
        if known and not entry.get("right", True):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        others = tuple(other for other in files if other.parent == path.parent and other != path)
        info = ClipInfo(name, reference=others)
        if with_text:
            info = replace(info, text=_text(path, entry), entities=_entities(entry))
        clips.append(AuditClip(path, info))
    return clips


def _text(path: Path, entry: dict[str, Any]) -> str | None:
    beside = path.with_suffix(".txt")
    text = entry.get("text") or (read_text(beside).strip() if beside.is_file() else "")
    return str(text) or None


def _entities(entry: dict[str, Any]) -> tuple[Entity, ...]:
    if "spelling" not in entry:
        return ()
    return (Entity(entry["spelling"], tuple(entry.get("accepted", ())), tuple(entry.get("wrong", ()))),)


def _index(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in read_text(path).splitlines() if line.strip()]
        return {row["file"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise EvalkitError(
            f"{path} is not one JSON object with 'file' per line ({error}): mend or remove it."
        ) from error
