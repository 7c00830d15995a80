"""What is wrong with a single clip, in one word, and from which figure on."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.diagnostics.training.robust import centres_and_spreads
from evalkit.diagnostics.training.rows import EVIDENCE, batches, evidence

KINDS = (
    *("unreadable", "copy", "near copy", "wrong speaker", "transcript", "clipped", "upsampled", "noisy", "silence"),
    *("too short", "too long", "quiet", "loud"),
)


@dataclass(frozen=True)
class Thresholds:
    """From which figure on a clip is flagged. `says` explains each flag with the figures in use."""

    clipping_ratio: float = 0.0005  # of the samples, in runs at full scale: some peaks a second
    bandwidth_share: float = 0.7  # of half the sample rate; 16 kHz in 24 kHz is 0.67, 8 kHz in 16 kHz 0.5
    bandwidth_hz: float = 11_500.0  # that is enough at any rate: not every sentence has more
    wada_snr_db: float = 10.0
    silence_ratio: float = 0.5
    edge_silence_s: float = 1.5  # before the first speech or after the last
    pause_s: float = 3.0  # between speech and speech
    shortest_s: float = 0.8
    longest_s: float = 30.0
    level_db: float = 6.0  # from the speaker's median, at least
    level_deviations: float = 4.0  # and as many spreads of the speaker's levels

    def says(self, kind: str) -> str:
        """One sentence: what a flag means."""
        return {
            "unreadable": "The file cannot be read, or holds nothing that could be measured.",
            "copy": "The file has the same content as an earlier clip.",
            "near copy": "The same recording as an earlier clip: at another level or rate, in another codec, trimmed "
            "otherwise.",
            "wrong speaker": "The voice is far from the speaker's other clips, and nearer to another speaker or unlike "
            "any clip of this one.",
            "transcript": "The text is not what is said: nobody could speak it in that time, it is missing, or a judge "
            "hears other words.",
            "clipped": f"More than {self.clipping_ratio:.2%} of the samples lie in runs at full scale.",
            "upsampled": f"Nothing above {self.bandwidth_share:.0%} of half the sample rate (nor above "
            f"{self.bandwidth_hz / 1000:g} kHz): recorded or compressed at a lower one.",
            "noisy": f"The signal-to-noise ratio (WADA) is below {self.wada_snr_db:g} dB.",
            "silence": f"More than {self.silence_ratio:.0%} of the clip is silence, or more than "
            f"{self.edge_silence_s:g} s of it at one end, or a pause lasts more than {self.pause_s:g} s.",
            "too short": f"Shorter than {self.shortest_s:g} s.",
            "too long": f"Longer than {self.longest_s:g} s.",
            "quiet": f"At least {self.level_db:g} dB, and {self.level_deviations:g} times the usual spread, below the "
            "speaker's usual level.",
            "loud": f"At least {self.level_db:g} dB, and {self.level_deviations:g} times the usual spread, above the "
            "speaker's usual level.",
        }[kind]


@dataclass(frozen=True)
class Level:
    """What level a speaker's clips usually have, in dBFS: median, and spread by the median absolute deviation."""

    median_db: float
    spread_db: float


@dataclass(frozen=True)
class Checks:
    """What was found by comparing a clip with others. level: its speaker's, None where there are too few clips."""

    near_copy_of: str | None = None
    wrong_speaker: bool | None = None
    transcript: bool = False
    level: Level | None = None


LEVEL_MIN_CLIPS = 5


def levels(clips: Path, near: Set[int] = frozenset()) -> dict[str, Level]:
    """Usual level of each speaker with at least `LEVEL_MIN_CLIPS` distinct clips. near: hashes of ids of near copies.

    A near copy is often a clip at another level: it says nothing of how loud the speaker usually is.
    """
    numbers: dict[str, int] = {}
    values: list[float] = []
    owners: list[int] = []
    for batch in batches(clips, ["speaker", "energy_clip_db", *EVIDENCE]):
        first = evidence(batch, near)
        for speaker, level in zip(
            first.column("speaker").to_pylist(), first.column("energy_clip_db").to_pylist(), strict=True
        ):
            if level is not None:
                values.append(level)
                owners.append(numbers.setdefault(speaker, len(numbers)))
    groups = np.array(owners, dtype=np.int64)
    medians, spreads = centres_and_spreads(np.array(values), groups, len(numbers))
    counts = np.bincount(groups, minlength=len(numbers))
    return {
        speaker: Level(float(medians[number]), float(spreads[number]))
        for speaker, number in numbers.items()
        if counts[number] >= LEVEL_MIN_CLIPS
    }


def severities(row: Mapping[str, Any], checks: Checks, thresholds: Thresholds) -> dict[str, float]:
    """Flags of a row of `clips.parquet`, in the order of `KINDS`; what was not measured is not flagged.

    Each has a number that is the greater, the worse the clip, to name the worst first.
    """
    if row.get("problem") is not None:
        return {"unreadable": 0.0}
    found = _of_comparison(row, checks) | _of_signal(row, thresholds) | _of_time(row, thresholds)
    found |= _of_level(row, checks.level, thresholds)
    return {kind: found[kind] for kind in KINDS if kind in found}


def _of_comparison(row: Mapping[str, Any], checks: Checks) -> dict[str, float]:
    found = {
        "copy": row.get("copy_of") is not None,
        "near copy": checks.near_copy_of is not None,
        "wrong speaker": bool(checks.wrong_speaker),
        "transcript": checks.transcript,
    }
    return {kind: 0.0 for kind, there in found.items() if there}


def _of_signal(row: Mapping[str, Any], t: Thresholds) -> dict[str, float]:
    found: dict[str, float] = {}
    clipping, bandwidth, snr = (row.get(name) for name in ("clipping_ratio", "bandwidth_hz", "wada_snr_db"))
    if clipping is not None and clipping > t.clipping_ratio:
        found["clipped"] = clipping
    half = (row.get("sample_rate") or 0) / 2
    if bandwidth is not None and bandwidth < min(t.bandwidth_share * half, t.bandwidth_hz):
        found["upsampled"] = 1 - bandwidth / half
    if snr is not None and snr < t.wada_snr_db:
        found["noisy"] = -snr
    return found


def _of_time(row: Mapping[str, Any], t: Thresholds) -> dict[str, float]:
    found: dict[str, float] = {}
    ratio, seconds = row.get("silence_ratio"), row.get("seconds")
    edge = max((row.get(name) or 0.0 for name in ("leading_silence_s", "trailing_silence_s")), default=0.0)
    pause = row.get("longest_pause_s") or 0.0
    if (ratio is not None and ratio > t.silence_ratio) or edge > t.edge_silence_s or pause > t.pause_s:
        found["silence"] = max((ratio or 0.0) / t.silence_ratio, edge / t.edge_silence_s, pause / t.pause_s)
    if seconds is not None and seconds < t.shortest_s:
        found["too short"] = -seconds
    if seconds is not None and seconds > t.longest_s:
        found["too long"] = seconds
    return found


def _of_level(row: Mapping[str, Any], level: Level | None, t: Thresholds) -> dict[str, float]:
    own = row.get("energy_clip_db")
    if own is None or level is None:
        return {}
    off = own - level.median_db
    if abs(off) < max(t.level_db, t.level_deviations * level.spread_db):
        return {}
    return {"loud" if off > 0 else "quiet": abs(off)}
