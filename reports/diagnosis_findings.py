"""The clips of a diagnosis that are worth a listen: which, what is wrong with them, and their players on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from reports.clips import Clip
from reports.diagnosis_lines import Finding, findings, share, typeset
from reports.diagnosis_made import reference_ids
from reports.values import is_number, number

BUDGET = 6_000_000  # characters of base64 in one page
PLAYED = 4  # clips of each kind that are shown with a player
_SILENT = frozenset({"copy"})  # two copies sound the same: there is nothing to hear


@dataclass(frozen=True)
class Heard:
    """A clip of a finding; `clip` is None where an earlier finding has its player."""

    id: str
    anchor: str
    telling: str
    text: str | None
    clip: Clip | None


@dataclass(frozen=True)
class Shown:
    finding: Finding
    heard: tuple[Heard, ...]
    rest: tuple[str, ...]


def to_hear(diagnosis: Mapping[str, Any]) -> list[str]:
    """Ids of the clips that the page wants to play, the worst of every kind before the second of any.

    Those that were picked as references are a kind of their own.
    """
    kinds = [one.ids[:PLAYED] for one in findings(diagnosis) if one.kind not in _SILENT]
    kinds.append(tuple(reference_ids(diagnosis)))
    return list(dict.fromkeys(id for rank in zip_longest(*kinds) for id in rank if id is not None))


def shown_findings(
    diagnosis: Mapping[str, Any], players: Mapping[str, Clip], clips: Mapping[str, Mapping[str, Any]]
) -> list[Shown]:
    """The findings with their worst clips. A clip of several kinds has one player, and a link to it from the others."""
    places: dict[str, str] = {}
    shown = []
    for finding in findings(diagnosis):
        heard = []
        for id in finding.ids[:PLAYED]:
            again = id in places
            anchor = places.setdefault(id, f"clip-{len(places) + 1}")
            row = clips.get(id) or {}
            clip = None if again else players.get(id, Clip())
            heard.append(Heard(id, anchor, typeset(telling(finding.kind, row)), row.get("text"), clip))
        shown.append(Shown(finding, tuple(heard), finding.ids[PLAYED:]))
    return shown


def within_budget(ids: Sequence[str], players: Mapping[str, Clip]) -> Iterator[tuple[str, Clip]]:
    """Players in order of importance until the page is as large as it may be; what is left out says so."""
    left = BUDGET
    for id in ids:
        clip = players.get(id)
        if clip is None:
            continue
        size = len(clip.audio or "") + len(clip.picture or "")
        if size > left:
            yield id, replace(clip, audio=None, picture=None, problem="Not embedded, to keep this page small.")
            continue
        left -= size
        yield id, clip


def telling(kind: str, row: Mapping[str, Any]) -> str:
    """What of a measured clip made it a finding of this kind; empty where that is not known."""
    if kind not in _TELLING or row.get(_TELLING[kind][0]) is None:
        return ""
    said = _TELLING[kind][1](row)
    return f"{row['speaker']}: {said}" if row.get("speaker") else said


def _cosine(row: Mapping[str, Any]) -> str:
    said = f"cosine to the speaker’s other clips {number(row['speaker_cosine'], 2)}"
    return f"{said}, nearest to {row['nearest_speaker']}" if row.get("nearest_speaker") else said


def _level(row: Mapping[str, Any]) -> str:
    return f"level {number(row['energy_clip_db'], 1)} dBFS"


def _silence(row: Mapping[str, Any]) -> str:
    where = {"leading_silence_s": "before the speech", "longest_pause_s": "in it", "trailing_silence_s": "after it"}
    parts = [f"{number(row[name], 1)} s {words}" for name, words in where.items() if is_number(row.get(name))]
    return f"{share(row['silence_ratio'])} silence{': ' if parts else ''}{', '.join(parts)}"


def _band(row: Mapping[str, Any]) -> str:
    return f"speech up to {_kilohertz(row['bandwidth_hz'])} at a rate of {_kilohertz(row.get('sample_rate'))}"


_TELLING: dict[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {  # kind: what it takes, how it is said
    "wrong speaker": ("speaker_cosine", _cosine),
    "transcript": ("transcript", lambda row: str(row["transcript"])),
    "noisy": ("wada_snr_db", lambda row: f"WADA-SNR {number(row['wada_snr_db'], 1)} dB"),
    "clipped": ("clipping_ratio", lambda row: f"{share(row['clipping_ratio'])} of the samples clipped"),
    "upsampled": ("bandwidth_hz", _band),
    "silence": ("silence_ratio", _silence),
    "too short": ("seconds", lambda row: f"{number(row['seconds'], 2)} s"),
    "too long": ("seconds", lambda row: f"{number(row['seconds'], 1)} s"),
    "quiet": ("energy_clip_db", _level),
    "loud": ("energy_clip_db", _level),
    "near copy": ("near_copy_of", lambda row: f"sounds like {row['near_copy_of']}"),
    "copy": ("copy_of", lambda row: f"the same audio as {row['copy_of']}"),
}


def _kilohertz(hertz: object) -> str:
    return f"{number(hertz / 1000, 1)} kHz" if is_number(hertz) else "?"
