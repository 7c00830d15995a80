"""The numbers and sentences of a diagnosis as the page, the terminal and Markdown show them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.values import MISSING, interval, is_number, number, percent

Speaker = Mapping[str, Any]
COLLAPSE_BELOW, GAIN_FROM = 10.0, 12.93  # dB: "about 13 dB" begins with the lowest published speaker that gained
OUTCOMES = ("collapse", "risk", "cannot tell", "gain", "no verdict")  # the ones that need a look first
HEADLINE = {
    "collapse": "collapse expected",
    "risk": "at risk",
    "cannot tell": "cannot tell",
    "gain": "gain expected",
    "no verdict": "no verdict",
}
ZONES = {"gain": "at about 13 dB or more", "undecided": "between 10 and about 13 dB", "collapse": "below 10 dB"}
KINDS = {
    "wrong speaker": "Wrong speaker",
    "transcript": "Transcript does not match",
    "noisy": "Noisy",
    "clipped": "Clipped",
    "upsampled": "Upsampled",
    "silence": "Long silence",
    "too short": "Too short",
    "too long": "Too long",
    "quiet": "Quiet",
    "loud": "Loud",
    "near copy": "Near copies",
    "copy": "Copies",
}


@dataclass(frozen=True)
class Column:
    """One column of the table of speakers. group: what stands above it; written: its cell for a speaker."""

    group: str
    name: str
    written: Callable[[Speaker], str]


@dataclass(frozen=True)
class Finding:
    """What was found of one kind; ids: the worst first, not always all of them."""

    kind: str
    title: str
    count: int
    amount: str
    says: str
    ids: tuple[str, ...]


def of(speaker: Speaker, *path: str) -> Any:
    """What lies at the path, None where a step is missing."""
    found: Any = speaker
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _plain(digits: int, *path: str) -> Callable[[Speaker], str]:
    return lambda speaker: number(of(speaker, *path), digits)


def _count(*path: str) -> Callable[[Speaker], str]:
    return lambda speaker: counted(of(speaker, *path))


def _kilohertz(speaker: Speaker) -> str:
    median = of(speaker, "bandwidth_hz", "median")
    return number(median / 1000, 1) if is_number(median) else MISSING


def _rates(speaker: Speaker) -> str:
    """The sampling rates in kHz, the most frequent first."""
    found = sorted((speaker.get("sample_rates") or {}).items(), key=lambda one: -one[1])
    shown = [f"{float(rate) / 1000:g}" for rate, _ in found[:3]]
    return ", ".join([*shown, *(["…"] if len(found) > 3 else [])]) or MISSING


def _phones(speaker: Speaker) -> str:
    found = of(speaker, "phones")
    return f"{found['covered']}/{found['of']}" if found else MISSING


PUBLISHED = (  # the columns of the published study's table, and how sure the energy's spread is
    Column("", "hours", lambda speaker: hours(speaker.get("hours"))),
    Column("clip s", "mean", _plain(2, "clip_s", "mean")),
    Column("clip s", "sd", _plain(2, "clip_s", "sd")),
    Column("words", "unique", _count("words", "unique")),
    Column("words", "per clip", _plain(1, "words", "per_clip")),
    Column("energy dB", "mean", _plain(2, "energy", "mean_db")),
    Column("energy dB", "sd", _plain(2, "energy", "std_db")),
    Column("energy dB", "95 %", lambda speaker: interval(of(speaker, "energy", "std_ci95"), 2)),
    Column("energy dB", "speech", _plain(2, "energy", "speech_std_db")),
    Column("DNS-MOS", "mean", _plain(2, "dnsmos", "mean")),
    Column("DNS-MOS", "sd", _plain(3, "dnsmos", "sd")),
)
SOUND = (
    Column("", "clips", _count("clips")),
    Column("", "SNR dB", _plain(1, "wada_snr_db", "mean")),
    Column("", "F0 Hz", _plain(0, "f0_hz", "median")),
    Column("", "words/s", _plain(2, "speaking_rate", "mean")),
    Column("", "silence", lambda speaker: share(speaker.get("silence_ratio"))),
    Column("", "clipping", lambda speaker: share(speaker.get("clipping_ratio"))),
    Column("", "band kHz", _kilohertz),
    Column("", "rate kHz", _rates),
    Column("", "phones", _phones),
)


def outcome(speaker: Speaker) -> str:
    found = of(speaker, "verdict", "outcome")
    return found if found in OUTCOMES else "no verdict"


def worst_first(speakers: Sequence[Speaker]) -> list[tuple[int, Speaker]]:
    """(place in the table, speaker), those that need a look first."""
    return sorted(enumerate(speakers), key=lambda one: (OUTCOMES.index(outcome(one[1])), one[0]))


def answer_sentence(speakers: Sequence[Speaker]) -> str:
    """``6 speakers (collapse expected: 1, at risk: 2, gain expected: 3)``."""
    if not speakers:
        return "No speaker could be measured"
    if len(speakers) == 1:
        return f"{speakers[0]['name']}: {HEADLINE[outcome(speakers[0])]}"
    counts = Counter(outcome(speaker) for speaker in speakers)
    said = ", ".join(f"{HEADLINE[name]}: {counts[name]:,}" for name in OUTCOMES if counts[name])
    return f"{len(speakers):,} speakers ({said})"


def says(speaker: Speaker) -> str:
    """The verdict's sentence, without the outcome at its beginning, which stands before it."""
    said = of(speaker, "verdict", "says") or "Nothing that a verdict could rest on was measured."
    lead, colon, rest = said.partition(": ")
    if colon and lead.lower() in (outcome(speaker), HEADLINE[outcome(speaker)]):
        return f"{rest[:1].upper()}{rest[1:]}"
    return str(said)


def how_sure(speaker: Speaker) -> str | None:
    """In which zone the energy sd of resampled clips lies, and how often."""
    shares = of(speaker, "verdict", "probability")
    if not shares or not all(is_number(shares.get(zone)) for zone in ZONES):
        return None
    said = ", ".join(f"{percent(shares[zone])} {where}" for zone, where in ZONES.items())
    return f"Energy sd when the clips are drawn again: {said}."


def rule_sentences(published: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rule, and how sure it is in itself: what the published speakers in each zone gained."""
    sentences = [
        "The rule: an energy sd of about 13 dB or more goes with gains, below 10 dB with "
        "collapse, and what lies between is undecided. DNS-MOS sd moves with it."
    ]
    if not published:
        return sentences
    sentences.append(
        f"It rests on {_word(len(published))} published speakers of one study, one model and one language; "
        "another model may behave otherwise, so take a verdict as a prior and not as a measurement of a fine-tune."
    )
    for zone, where in ZONES.items():
        inside = [one for one in published if zone_of(one["energy_std_db"]) == zone]
        if inside:
            told = ", ".join(
                f"{one['name']}\N{NO-BREAK SPACE}{gain(one)}" for one in sorted(inside, key=lambda one: -one["gain"])
            )
            sentences.append(f"Published speakers {where} and their gain in DNS-MOS: {told}.")
    sentences.append(
        "The study does not say which frames it counted, so its thresholds hold for this definition roughly."
    )
    return sentences


def gain(published: Mapping[str, Any]) -> str:
    return typeset(f"{published['gain']:+.3f}")


def typeset(text: str) -> str:
    """For a page: a real minus sign, and no number at the end of a line without its unit."""
    negative = re.sub(r"(?<![\w.-])-(?=\d)", "−", text)  # hyphens, ranges and dates stay as they are
    return re.sub(r"(?<=\d) (?=(?:%|dB|h|s|min|Hz|kHz)(?!\w))", "\N{NO-BREAK SPACE}", negative)


def zone_of(energy_std_db: float) -> str:
    if energy_std_db >= GAIN_FROM:
        return "gain"
    return "collapse" if energy_std_db < COLLAPSE_BELOW else "undecided"


def findings(diagnosis: Mapping[str, Any]) -> list[Finding]:
    """What was found by kind, without the clips that cannot be read, which have a list of their own."""
    flags = diagnosis.get("flags") or {}
    known = [kind for kind in KINDS if kind in flags]
    rest = [kind for kind in flags if kind not in KINDS and kind != "unreadable"]
    return [_finding(kind, flags[kind]) for kind in (*known, *rest) if flags[kind]["count"]]


def _finding(kind: str, flag: Mapping[str, Any]) -> Finding:
    title = KINDS.get(kind) or kind.capitalize()
    amount = f"{counted(flag['count'])} clip{'s' if flag['count'] != 1 else ''}"
    if is_number(flag.get("hours")):
        amount += f", {duration(flag['hours'])}"
    return Finding(kind, title, flag["count"], amount, flag.get("says") or "", tuple(flag.get("clips") or ()))


def problem_sentence(diagnosis: Mapping[str, Any]) -> str | None:
    """How many clips could not be read, and whether all of them are listed."""
    data = diagnosis["data"]
    count, listed = data.get("problem_count") or 0, len(data.get("problems") or ())
    if not count:
        return None
    said = f"{counted(count)} of {counted(data['clips'])} clips could not be read and count in no figure"
    said += " but the number of clips"
    if listed < count:
        said += f"; the first {counted(listed)} are listed, clips.parquet in the diagnosis folder names all of them"
    return f"{said}."


def amount_sentence(diagnosis: Mapping[str, Any]) -> str:
    data = diagnosis["data"]
    return f"{counted(data['measured'])} of {counted(data['clips'])} clips measured, {duration(data.get('hours'))}"


def counted(value: object) -> str:
    return f"{value:,.0f}" if is_number(value) else MISSING


def hours(value: object) -> str:
    if not is_number(value):
        return MISSING
    return number(value, 1 if value >= 100 else 2 if value >= 1 else 3)


def duration(value: object) -> str:
    """Hours in the unit that people would choose."""
    if not is_number(value):
        return MISSING
    if value >= 1:
        return f"{hours(value)} h"
    return f"{value * 60:.1f} min" if value * 60 >= 1 else f"{value * 3600:.1f} s"


def share(value: object) -> str:
    """As `percent`; what is not nothing is never written as 0 %."""
    return "<0.1 %" if is_number(value) and 0 < value < 0.0005 else percent(value)


def squeezed(name: str, letters: int) -> str:
    """A long name without its middle: beginnings and ends of speakers' names tell them apart."""
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return f"{name[: letters - 1 - end]}…{name[len(name) - end :]}"


def rows(diagnosis: Mapping[str, Any]) -> Iterator[tuple[int | None, Speaker]]:
    """(place, speaker) down the table; all speakers together, whose place is None, end it where there are several."""
    speakers = diagnosis["speakers"]
    yield from enumerate(speakers)
    if len(speakers) > 1 and diagnosis.get("all"):
        yield None, diagnosis["all"]


def _word(count: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count] if count < len(words) else f"{count:,}"
