"""What a diagnosis made of a training set on request: a filtered manifest, cloning references, a planned mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from reports.clips import Clip
from reports.diagnosis_lines import HEADLINE, counted, duration, hours, how_sure, of, outcome, says, typeset
from reports.values import number

_REFERENCES = 3  # of a speaker, with a player
_SPEAKERS = 12  # whose references are shown; the others' are in diagnosis.json


@dataclass(frozen=True)
class Reference:
    id: str
    where: str
    text: str | None
    reasons: str
    clip: Clip


@dataclass(frozen=True)
class Mix:
    """rows: of its speakers: name, hours asked for, hours, clips, energy mean, energy sd, DNS-MOS sd."""

    outcome: str
    headline: str
    says: str
    sure: str
    evidence: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    manifest: str | None
    notices: tuple[str, ...]


def fix_sentences(diagnosis: Mapping[str, Any]) -> list[str]:
    """What `--fix` wrote; nothing where it was not asked for."""
    fix = diagnosis.get("fix")
    if not fix:
        return []
    kept, dropped = fix.get("hours_kept"), fix.get("hours_dropped")
    sentences = [
        f"Kept {counted(fix['kept'])} of {counted(fix['clips'])} clips ({duration(kept)}) in {fix['manifest']}; the "
        f"{counted(fix['dropped'])} others ({duration(dropped)}), and why, are in {fix['dropped_manifest']}."
    ]
    if fix.get("flags"):
        flags = ", ".join(f"{kind} {counted(count)}" for kind, count in fix["flags"].items())
        sentences.append(f"Flags that dropped clips: {flags}; a clip may have several.")
    return [*sentences, *(fix.get("notices") or ())]


def mix_of(diagnosis: Mapping[str, Any]) -> Mix | None:
    mix = diagnosis.get("mix")
    if not mix:
        return None
    return Mix(
        outcome=outcome(mix),
        headline=HEADLINE[outcome(mix)],
        says=typeset(says(mix)),
        sure=typeset(how_sure(mix) or ""),
        evidence=tuple(map(typeset, of(mix, "verdict", "evidence") or ())),
        rows=tuple(_part(part) for part in mix["speakers"]),
        manifest=mix.get("manifest"),
        notices=tuple(mix.get("notices") or ()),
    )


def _part(part: Mapping[str, Any]) -> tuple[str, ...]:
    cells = (
        hours(part.get("asked_hours")),
        hours(part.get("hours")),
        counted(part.get("clips")),
        number(part.get("energy_mean_db"), 2),
        number(part.get("energy_std_db"), 2),
        number(part.get("dnsmos_sd"), 3),
    )
    return (part["name"], *map(typeset, cells))


def mixed_speaker(diagnosis: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The mix as a speaker of the outcome chart; nothing where none was planned."""
    mix = diagnosis.get("mix")
    return [{"name": "the mix", **{key: mix.get(key) for key in ("energy", "dnsmos", "verdict")}}] if mix else []


def reference_ids(diagnosis: Mapping[str, Any]) -> list[str]:
    """The clips picked as references that the page plays, the best of every speaker first."""
    picked = [[one["id"] for one in speaker["picked"][:_REFERENCES]] for speaker in _picked(diagnosis)]
    return [id for rank in zip_longest(*picked) for id in rank if id is not None]


def references(
    diagnosis: Mapping[str, Any], players: Mapping[str, Clip]
) -> list[tuple[str, str, tuple[Reference, ...]]]:
    """(speaker, what is said of the pick, its clips)."""
    return [
        (
            speaker["name"],
            typeset((speaker.get("says") or "").removeprefix(f"{speaker['name']}: ")),
            tuple(_reference(one, players) for one in speaker["picked"]),
        )
        for speaker in _picked(diagnosis)
    ]


def _picked(diagnosis: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((diagnosis.get("references") or {}).get("speakers") or ())[:_SPEAKERS]


def _reference(one: Mapping[str, Any], players: Mapping[str, Clip]) -> Reference:
    reasons = typeset("; ".join(one.get("reasons") or ()))
    return Reference(one["id"], one["where"], one.get("text"), reasons, players.get(one["id"]) or Clip())


def made_lines(diagnosis: Mapping[str, Any]) -> list[str]:
    """All of it as sentences."""
    lines = fix_sentences(diagnosis)
    if mix := diagnosis.get("mix"):
        lines.append(f"The mix: {HEADLINE[outcome(mix)]}. {says(mix)}")
        lines += [f"Manifest of the mix: {mix['manifest']}"] if mix.get("manifest") else []
    for speaker in (diagnosis.get("references") or {}).get("speakers") or ():
        ids = ", ".join(one["id"] for one in speaker["picked"]) or "none"
        lines.append(f"References of {speaker['name']}: {ids}")
    return lines
