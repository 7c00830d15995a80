"""`--pick-references`: the clips of each speaker that are best to clone the voice from."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.diagnostics.training import manifest
from evalkit.diagnostics.training.rows import Floats, rows
from evalkit.errors import EvalkitError
from metrics.wada_table import DB_LAST

SHORTEST_S, LONGEST_S = 3.0, 15.0
"""Below 3 s an encoder hears too little of a voice. Above 15 s engines cut or refuse a reference (F5-TTS, NeuTTS), and
in the study more seconds did not help."""
LEAST_DNSMOS = 3.5  # the study's finding on references
LEAST_SNR_DB = 20.0  # its references had 24.9 to 31.9 dB for the speakers that gained, 17.6 to 26.8 for the others
MOST_SILENCE = 0.3

_COLUMNS = ("seconds", "dnsmos_ovrl", "wada_snr_db", "silence_ratio")
_RANKED = (("dnsmos_ovrl", 1), ("wada_snr_db", 1), ("silence_ratio", -1), ("speaker_cosine", 1))  # 1: more is better


@dataclass
class _Speaker:
    """failed: criterion -> clips that fail it. places: of the fitting clips in the table; values: those of _RANKED."""

    clips: int = 0
    best_dnsmos: float | None = None
    failed: Counter[str] = field(default_factory=Counter)
    places: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


def pick_references(clips: Path, checks: Path | None, count: int, speaker: str | None = None) -> dict[str, Any]:
    """The `count` best of each speaker, or of one. A reference is one clip as it was recorded, never several joined.

    Fit are clips of SHORTEST_S to LONGEST_S, with DNS-MOS, signal-to-noise ratio and silence within the limits and
    without any flag. They are ranked within the speaker: score is the mean of a clip's places among them (1 the best, 0
    the worst) by DNS-MOS, WADA-SNR, little silence, and cosine with the speaker's other clips. Holds five numbers per
    fitting clip. Raises EvalkitError for count < 1 and a speaker that is not there.
    """
    if count < 1:
        raise EvalkitError(f"--pick-references {count}: ask for one reference or more.")
    found: dict[str, _Speaker] = {}
    for place, row in enumerate(rows(clips, checks, _COLUMNS)):
        if speaker is None or row["speaker"] == speaker:
            _add(found.setdefault(row["speaker"], _Speaker()), place, row)
    if speaker is not None and speaker not in found:
        raise EvalkitError(f"The training set has no speaker '{speaker}'.")
    best = {name: _best(one, count) for name, one in found.items()}
    wanted = {place for picked in best.values() for place, _ in picked}
    columns = (*manifest.columns(clips), *_COLUMNS)
    described = {place: row for place, row in enumerate(rows(clips, checks, columns)) if place in wanted}
    return {
        "count": count,
        "criteria": criteria(),
        "speakers": [
            {
                "name": name,
                "clips": found[name].clips,
                "fit": len(found[name].places),
                "picked": [
                    _reference(rank, described[place], score, found[name])
                    for rank, (place, score) in enumerate(picked, start=1)
                ],
                "says": _says(found[name], len(picked), count),
            }
            for name, picked in sorted(best.items())
        ],
    }


def criteria() -> list[str]:
    """What a reference has to fulfil, as sentences."""
    return [
        f"One recording of {SHORTEST_S:g} to {LONGEST_S:g} s, not several joined: that hurts, and more does not help.",
        f"DNS-MOS of {LEAST_DNSMOS:g} or more.",
        f"A signal-to-noise ratio (WADA) of {LEAST_SNR_DB:g} dB or more.",
        f"At most {_percent(MOST_SILENCE)} silence.",
        "No flag of any kind.",
        "First the best within their speaker: DNS-MOS, signal-to-noise ratio, little silence, a typical voice.",
    ]


def _add(speaker: _Speaker, place: int, row: Mapping[str, Any]) -> None:
    speaker.clips += 1
    if row["dnsmos_ovrl"] is not None:
        speaker.best_dnsmos = max(row["dnsmos_ovrl"], speaker.best_dnsmos or 0.0)
    failures = _failures(row)
    speaker.failed.update(failures)
    if not failures:
        speaker.places.append(place)
        speaker.values.extend(_value(row, name) for name, _ in _RANKED)


def _value(row: Mapping[str, Any], name: str) -> float:
    """What a clip is ranked by. Digital silence puts a clip at the end of WADA's table: no figure to be best by."""
    value = row[name]
    return np.nan if value is None or (name == "wada_snr_db" and value >= DB_LAST) else float(value)


def _failures(row: Mapping[str, Any]) -> list[str]:
    seconds, dnsmos, snr, silence = (row[name] for name in _COLUMNS)
    tests = {
        f"not {SHORTEST_S:g} to {LONGEST_S:g} s long": seconds is None or not SHORTEST_S <= seconds <= LONGEST_S,
        "without a value": dnsmos is None or snr is None or silence is None,
        f"with DNS-MOS below {LEAST_DNSMOS:g}": dnsmos is not None and dnsmos < LEAST_DNSMOS,
        f"with less than {LEAST_SNR_DB:g} dB of SNR": snr is not None and snr < LEAST_SNR_DB,
        f"with more than {_percent(MOST_SILENCE)} silence": silence is not None and silence > MOST_SILENCE,
        "flagged": bool(row["flags"]),
    }
    return [name for name, failed in tests.items() if failed]


def _best(speaker: _Speaker, count: int) -> list[tuple[int, float]]:
    """Place in the table and score of the best, the best first; clips of one score in the order of the set."""
    if not speaker.places:
        return []
    score = _scores(np.frombuffer(speaker.values).reshape(-1, len(_RANKED)))
    order = np.argsort(-score, kind="stable")[:count]
    return [(speaker.places[one], float(score[one])) for one in order]


def _scores(values: Floats) -> Floats:
    """Mean place of each row, 1 the best and 0 the worst; a missing value is in the middle."""
    from scipy.stats import rankdata

    shares = np.full(values.shape, 0.5)
    for column, (_, sign) in enumerate(_RANKED):
        known = np.isfinite(values[:, column])
        if known.sum() > 1:
            shares[known, column] = (rankdata(sign * values[known, column]) - 1) / (known.sum() - 1)
    return np.asarray(shares.mean(axis=1))


def _reference(rank: int, row: Mapping[str, Any], score: float, speaker: _Speaker) -> dict[str, Any]:
    path, offset = manifest.place(row)
    return {
        "rank": rank,
        "id": row["id"],
        "where": row["where"],
        "path": path,
        "offset": offset,
        "text": row["text"],
        "score": score,
        **{name: row[name] for name in (*_COLUMNS, "speaker_cosine")},
        "reasons": _reasons(row, score, len(speaker.places)),
    }


def _reasons(row: Mapping[str, Any], score: float, fit: int) -> list[str]:
    reasons = [
        f"DNS-MOS {row['dnsmos_ovrl']:.2f}, {row['wada_snr_db']:.1f} dB of SNR, {_percent(row['silence_ratio'])} "
        f"silence, {row['seconds']:.1f} s",
        f"mean place {score:.2f} of 1 among {fit:,} fitting clips",
    ]
    if row["speaker_cosine"] is not None:
        reasons.insert(1, f"cosine {row['speaker_cosine']:.2f} with the speaker's other clips")
    if not row["text"]:
        reasons.append("its text is not known: engines that need one want it written down first")
    return reasons


def _says(speaker: _Speaker, picked: int, count: int) -> str:
    if picked == count:
        return f"{picked} of {len(speaker.places):,} fitting clips."
    told = f"{picked} of the {count} asked for"
    if not speaker.failed:
        return f"{told}; no more clips are there."
    why = ", ".join(f"{clips:,} {kind}" for kind, clips in speaker.failed.most_common())
    best = speaker.best_dnsmos
    told += f". Of {speaker.clips:,} clips: {why}."
    return told if best is None or best >= LEAST_DNSMOS else f"{told} The best DNS-MOS is {best:.2f}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
