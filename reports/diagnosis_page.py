"""The page of a diagnosis: what to expect of a training set, why, and the clips to listen to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from reports.clips import Clip
from reports.diagnosis_charts import FEW, bins_of, outcome_chart, shared_axis, strips
from reports.diagnosis_findings import shown_findings, to_hear, within_budget
from reports.diagnosis_lines import (
    HEADLINE,
    OUTCOMES,
    PUBLISHED,
    SOUND,
    ZONES,
    Speaker,
    amount_sentence,
    answer_sentence,
    duration,
    gain,
    how_sure,
    of,
    outcome,
    problem_sentence,
    rows,
    rule_sentences,
    says,
    squeezed,
    typeset,
    worst_first,
)
from reports.diagnosis_made import fix_sentences, mix_of, mixed_speaker, references
from reports.pages import page, style
from reports.values import date, is_number, number, percent

_OPEN, _FOLDED = 4, 100  # verdicts that lie open; and those that the page has at all
_STRIPS, _STRIPS_FOLDED = 12, 60  # the same for distributions
_PARTS = ("evidence", "advice")
_WHERE = {
    "collapse": "collapse is expected",
    "risk": "a speaker is at risk",
    "cannot tell": "nobody can tell",
    "gain": "a gain is expected",
}
_LETTERS = 20  # of a speaker's name in the table
_COLUMNS = (*PUBLISHED, *SOUND[:-1])  # phonemes have a list of their own
MEASURES = {
    "energy_clip_db": ("Level of a clip", "dBFS"),
    "energy_std_db": ("Energy sd within a clip", "dB"),
    "dnsmos_ovrl": ("DNS-MOS of a clip", "MOS"),
    "wada_snr_db": ("WADA-SNR", "dB"),
    "seconds": ("Length of a clip", "s"),
    "f0_median_hz": ("F0, median of a clip", "Hz"),
    "speaking_rate": ("Speaking rate", "words/s"),
}


@dataclass(frozen=True)
class Verdict:
    anchor: str
    name: str
    outcome: str
    headline: str
    says: str
    sure: str
    shares: tuple[tuple[str, float, str], ...]  # (zone, share, as text)
    evidence: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class General:
    """What is told of several speakers at once."""

    title: str
    evidence: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table of speakers; `anchor` leads to the verdict."""

    name: str
    short: str
    anchor: str | None
    outcome: str | None
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """`folded`: the speakers for whom there is no room at once."""

    title: str
    unit: str
    chart: Markup
    folded: Markup | None
    left_out: int


def render_diagnosis(
    diagnosis: Mapping[str, Any],
    published: Sequence[Mapping[str, Any]],
    players: Mapping[str, Clip],
    clips: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """A self-contained page. diagnosis: what `evalkit diagnose --json` prints.

    published: the speakers that the rule rests on (`name`, `energy_std_db`, `dnsmos_sd`, `gain` in DNS-MOS); players:
    clip id -> its audio, or why it cannot be heard, of the clips that `to_hear` names; clips: clip id -> its measured
    row, from which the page says what is wrong with a clip that is shown.
    """
    speakers = diagnosis["speakers"]
    affordable = dict(within_budget(to_hear(diagnosis), players))
    general = _general(speakers)
    verdicts = [_verdict(place, speaker, general) for place, speaker in worst_first(speakers)]
    open_ = verdicts if len(verdicts) <= _OPEN + 2 else verdicts[:_OPEN]
    folded = verdicts[len(open_) : _FOLDED]
    anchors = {verdict.anchor for verdict in (*open_, *folded)}
    drawn = [s for s in speakers if is_number(of(s, "energy", "std_db")) and is_number(of(s, "dnsmos", "sd"))]
    context = {
        "style": style("report.css", "plots.css", "diagnosis.css"),
        "data": diagnosis["data"],
        "name": PurePath(diagnosis["data"]["path"]).name or diagnosis["data"]["path"],
        "created": date(diagnosis["data"]["created"]),
        "amount": amount_sentence(diagnosis),
        "hours": duration(diagnosis["data"].get("hours")),
        "answer": answer_sentence(speakers),
        "by_outcome": [
            (HEADLINE[one], found) for one in OUTCOMES if (found := [v for v in verdicts if v.outcome == one])
        ],
        "verdicts": open_,
        "folded": folded,
        "general": general,
        "beyond": len(verdicts) - len(open_) - len(folded),
        "anchors": anchors,
        "notices": diagnosis.get("notices") or [],
        "groups": _groups(),
        "columns": _COLUMNS,
        "rows": [_row(place, speaker, anchors) for place, speaker in rows(diagnosis)],
        "chart": outcome_chart([*drawn, *mixed_speaker(diagnosis)], published) if drawn else None,
        "crowded": len(drawn) > FEW,
        "undrawn": [s["name"] for s in speakers if s not in drawn],
        "published": [
            (p["name"], number(p["energy_std_db"], 2), number(p["dnsmos_sd"], 3), gain(p)) for p in published
        ],
        "rule": [typeset(sentence) for sentence in rule_sentences(published)],
        "distributions": _distributions(speakers),
        "phones": [(s["name"], s["phones"]) for s in speakers if s.get("phones")],
        "findings": shown_findings(diagnosis, affordable, clips or {}),
        "fix": [typeset(sentence) for sentence in fix_sentences(diagnosis)],
        "mix": mix_of(diagnosis),
        "references": references(diagnosis, affordable),
        "problem_sentence": problem_sentence(diagnosis),
        "passports": (diagnosis["data"].get("passports") or {}).items(),
    }
    return page("diagnosis.html.j2", context)


def _general(speakers: Sequence[Speaker]) -> tuple[General, ...]:
    """What is said word for word of all speakers of some outcomes, two or more of them, which is told once."""
    judged = [speaker for speaker in speakers if speaker.get("verdict")]
    counts = Counter(map(outcome, judged))
    shared: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for part in _PARTS:
        told: dict[str, Counter[str]] = {}
        for speaker in judged:
            for sentence in _sentences(speaker, part):
                told.setdefault(sentence, Counter())[outcome(speaker)] += 1
        for sentence, by_outcome in told.items():
            if by_outcome.total() > 1 and all(counts[name] == count for name, count in by_outcome.items()):
                group = tuple(name for name in OUTCOMES if name in by_outcome)
                shared.setdefault(group, {name: [] for name in _PARTS})[part].append(sentence)
    return tuple(
        General(
            "For all speakers" if len(group) == len(counts) else f"Where {' or '.join(_WHERE[one] for one in group)}",
            **{part: tuple(found) for part, found in shared[group].items()},
        )
        for group in sorted(shared, key=lambda group: (len(group), [OUTCOMES.index(one) for one in group]))
    )


def _sentences(speaker: Speaker, part: str) -> Sequence[str]:
    return [typeset(sentence) for sentence in of(speaker, "verdict", part) or ()]


def _verdict(place: int, speaker: Speaker, general: Sequence[General]) -> Verdict:
    shares = of(speaker, "verdict", "probability") or {}
    known = {sentence for one in general for sentence in (*one.evidence, *one.advice)}
    own = {part: tuple(s for s in _sentences(speaker, part) if s not in known) for part in _PARTS}
    return Verdict(
        anchor=_anchor(place),
        name=speaker["name"],
        outcome=outcome(speaker),
        headline=HEADLINE[outcome(speaker)],
        says=typeset(says(speaker)),
        sure=typeset(how_sure(speaker) or ""),
        shares=tuple((zone, shares[zone], percent(shares[zone])) for zone in ZONES if shares.get(zone)),
        **own,
    )


def _groups() -> list[tuple[str, int]]:
    """(heading, columns below it) of the table's upper heading."""
    groups: list[tuple[str, int]] = []
    for column in _COLUMNS:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups


def _row(place: int | None, speaker: Speaker, anchors: Set[str]) -> Row:
    cells = tuple(typeset(column.written(speaker)) for column in _COLUMNS)
    short = squeezed(speaker["name"], _LETTERS)
    if place is None:
        return Row(speaker["name"], short, None, None, cells)
    anchor = _anchor(place)
    return Row(speaker["name"], short, anchor if anchor in anchors else None, outcome(speaker), cells)


def _anchor(place: int) -> str:
    return f"speaker-{place + 1}"


def _distributions(speakers: Sequence[Speaker]) -> list[Distribution]:
    """One per measure that any speaker has, all speakers of a measure over one axis."""
    made = []
    for column, (title, unit) in MEASURES.items():
        found = [(s["name"], bins_of(of(s, "histograms", column))) for s in speakers]
        counted = [bins for _, bins in found if bins]
        if not counted:
            continue
        axis = shared_axis(counted)
        folded = found[_STRIPS:_STRIPS_FOLDED] if len(found) > _STRIPS + 2 else []
        first = found[:_STRIPS] if folded else found
        more = strips(title, unit, folded, axis) if folded else None
        left_out = len(found) - len(first) - len(folded)
        made.append(Distribution(title, unit, strips(title, unit, first, axis), more, left_out))
    return made
