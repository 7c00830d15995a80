"""`--fix`: a manifest of the clips that are worth training on, and a list of the others with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training import manifest
from evalkit.diagnostics.training.dropping import Dropping
from evalkit.diagnostics.training.flags import KINDS
from evalkit.diagnostics.training.rows import DROPPED, known_flags, rows
from evalkit.diagnostics.training.targets import check_manifest, dropped_beside


def write_fixed(
    clips: Path, checks: Path | None, out: Path, drop: Iterable[str] = DROPPED, source: Path | None = None
) -> dict[str, Any]:
    """Write `x.jsonl` and, beside it, `x.dropped.jsonl`. source: the set, kept as it is.

    drop: flags that drop a clip; one that cannot be read is always dropped.

    kept + dropped = clips. flags: how many clips each flag drops; where several do, all count. Raises EvalkitError for
    an unknown flag, what `check_manifest` refuses, and what cannot be written.
    """
    dropping = Dropping(known_flags(drop))
    dropped_file = dropped_beside(out)
    for path in (out, dropped_file):
        check_manifest(path, source)
    counts: Counter[str] = Counter()
    seconds = {True: 0.0, False: 0.0}
    kinds: Counter[str] = Counter()
    with manifest.written(out, dropped_file) as (keep, drop_one):
        for row in rows(clips, checks, manifest.columns(clips)):
            reasons = dropping.reasons(row)
            counts["dropped" if reasons else "kept"] += 1
            seconds[bool(reasons)] += row["seconds"] or 0.0
            if not reasons:
                counts["packed"] += manifest.is_packed(row)
                keep(manifest.line(row))
                continue
            kinds.update(reasons)
            drop_one(
                manifest.line(row) | {"reasons": reasons, "says": "; ".join(_why(row, reason) for reason in reasons)}
            )
    return {
        "manifest": str(out),
        "dropped_manifest": str(dropped_file),
        "clips": counts["kept"] + counts["dropped"],
        "kept": counts["kept"],
        "dropped": counts["dropped"],
        "hours_kept": seconds[False] / 3600,
        "hours_dropped": seconds[True] / 3600,
        "flags": dict(kinds.most_common()),
        "drop": [flag for flag in KINDS if flag in dropping.flags],
        "notices": _notices(counts),
    }


def _why(row: dict[str, Any], reason: str) -> str:
    """One flag in words, with what is known of it."""
    if reason == "unreadable":
        return f"unreadable: {row['problem'] or 'no audio'}"
    if reason == "copy":
        return f"the same audio as {row['copy_of']}" if row["copy_of"] is not None else reason
    if reason == "near copy" and row["near_copy_of"] is not None:
        return f"nearly the same audio as {row['near_copy_of']}"
    if reason == "transcript" and row["transcript"] is not None:
        return f"transcript: {row['transcript']}"
    if reason == "wrong speaker" and row["speaker_cosine"] is not None:
        nearest = f", nearest to {row['nearest_speaker']}" if row["nearest_speaker"] else ""
        return f"wrong speaker: cosine {row['speaker_cosine']:.2f} with its own{nearest}"
    return reason


def _notices(counts: Counter[str]) -> list[str]:
    notices = []
    if not counts["kept"]:
        notices.append("Nothing is left: every clip has a flag that drops it.")
    if counts["packed"]:
        notices.append(manifest.PACKED.format(count=counts["packed"]))
    return notices
