"""Which columns come first, which deserve the most room, and whether a difference is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Judgement = Literal["better", "worse", "changed", "no clear difference", "no interval"]

ORDER = (
    "pronunciation_accuracy",
    "pronunciation_margin",
    "frontend_accuracy",
    "wer",
    "cer",
    "speaker_similarity",
    "dnsmos_ovrl",
    "dnsmos_sig",
    "dnsmos_bak",
    "dnsmos_p808",
    "wada_snr_db",
    "energy_mean_db",
    "energy_std_db",
    "silence_ratio",
    "clipping_ratio",
    "duration_s",
    "rtf",
    "first_chunk_s",
    "total_s",
)
"""Reading order: is it said right, is it understood, is it the voice, does it sound good, was it fast."""

# Columns that explain another one or describe the machine. Any other column, a plugin's too, is a main column.
_SECONDARY = frozenset(ORDER) - {
    "pronunciation_accuracy",
    "frontend_accuracy",
    "wer",
    "speaker_similarity",
    "dnsmos_ovrl",
}

DIRECTION = {"higher": "higher is better", "lower": "lower is better", "neither": ""}


def ordered(names: Iterable[str]) -> list[str]:
    """Known columns in reading order, then the others in their own."""
    rank = {name: place for place, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: rank.get(name, len(ORDER)))


def main_columns(summary: Mapping[str, Any], limit: int = 6) -> list[str]:
    """The columns that headline, tags and worst items are about: those with a direction that stand for themselves."""
    columns = summary["columns"]
    named = [name for name in ordered(columns) if name not in _SECONDARY and columns[name]["better"] != "neither"]
    return (named or ordered(columns))[:limit]


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
