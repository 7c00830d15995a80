"""Which columns come first, which deserve the most room, and whether a difference is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Judgement = Literal["better", "worse", "changed", "no clear difference", "no interval"]

ORDER = (
    "pronunciation_accuracy",
    "pronunciation_margin",
    "pronunciation_gop",
    "pronunciation_distance",
    "frontend_accuracy",
    "wer",
    "entity_wer",
    "cer",
    "speaker_similarity",
    "speaker_cosine",
    "dnsmos_ovrl",
    "dnsmos_sig",
    "dnsmos_bak",
    "dnsmos_p808",
    "wada_snr_db",
    "wada_saturated",
    "energy_mean_db",
    "energy_std_db",
    "silence_ratio",
    "leading_silence_s",
    "trailing_silence_s",
    "longest_pause_s",
    "digital_silence_ratio",
    "clipping_ratio",
    "bandwidth_hz",
    "f0_median_hz",
    "f0_range_st",
    "voiced_ratio",
    "speaking_rate",
    "duration_s",
    "rtf",
    "first_chunk_s",
    "first_chunk_rtf",
    "second_chunk_rtf",
    "total_s",
)
"""Reading order: is it said right, is it understood, is it the voice, does it sound good, was it fast."""

_MAIN = frozenset({"pronunciation_accuracy", "frontend_accuracy", "wer", "speaker_similarity", "dnsmos_ovrl"})

DIRECTION = {"higher": "higher is better", "lower": "lower is better", "neither": ""}


def ordered(names: Iterable[str]) -> list[str]:
    """Known columns in reading order, then the others in their own."""
    rank = {name: place for place, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: rank.get(name, len(ORDER)))


def main_columns(summary: Mapping[str, Any], limit: int = 6) -> list[str]:
    """The columns that headline, tags and worst items are about.

    Of the built-in metrics those that stand for a quality of the speech; of any other metric its first column that has
    a direction.
    """
    columns = summary["columns"]
    directed = [name for name in ordered(columns) if columns[name]["better"] != "neither"]
    built_in = {columns[name]["metric"] for name in columns if name in ORDER}
    firsts: dict[str, str] = {}
    for name in directed:
        firsts.setdefault(columns[name]["metric"], name)
    main = [
        name
        for name in directed
        if name in _MAIN or (columns[name]["metric"] not in built_in and firsts[columns[name]["metric"]] == name)
    ]
    return (main or directed or ordered(columns))[:limit]


def judgement(paired: Mapping[str, Any]) -> Judgement:
    """What a paired difference says: only an interval that excludes zero says anything."""
    bounds = paired.get("ci95")
    if bounds is None:
        return "no interval"
    low, high = bounds
    if low <= 0 <= high:
        return "no clear difference"
    if paired["better"] == "neither":
        return "changed"
    return "better" if (low > 0) == (paired["better"] == "higher") else "worse"
