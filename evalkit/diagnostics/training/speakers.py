"""Every speaker of a training set with figures and verdict, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training.dropping import remaining, together
from evalkit.diagnostics.training.figures import each_speaker, speaker_figures
from evalkit.diagnostics.training.rows import rows
from evalkit.diagnostics.training.verdict import verdict


def judge_speakers(
    clips: Path, checks: Path | None, progress: Callable[[int, int], None] = lambda done, of: None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """SPEAKER of each, most hours first, and of all; the latter has a verdict only where it is the same speaker."""
    left = remaining(clips, checks)
    speakers: list[dict[str, Any]] = []
    for figures in each_speaker(clips, checks):
        speakers.append(figures)
        progress(len(speakers), len(left))
    originals = _originals(clips, checks, {one["name"] for one in speakers if not one["distinct_clips"]})
    for one in speakers:
        one["verdict"] = verdict(one, left[one["name"]], sorted(originals.get(one["name"], ())))
    speakers.sort(key=lambda one: (-one["hours"], one["name"]))
    whole = speaker_figures(clips, None, checks)
    if len(speakers) == 1:
        whole["verdict"] = verdict(whole, together(left.values()))
    return speakers, whole


def _originals(clips: Path, checks: Path | None, names: Set[str]) -> dict[str, set[str]]:
    """Of these speakers: the others whose clips theirs are copies of."""
    if not names:
        return {}
    copied: dict[int, set[str]] = {}  # hash of an original's id -> speakers that have a copy of it
    for row in rows(clips, checks):
        original = row["copy_of"] or row["near_copy_of"]
        if row["speaker"] in names and original is not None:
            copied.setdefault(hash(original), set()).add(row["speaker"])
    found: dict[str, set[str]] = {}
    for row in rows(clips, None):
        for name in copied.get(hash(row["id"]), set()) - {row["speaker"]}:
            found.setdefault(name, set()).add(row["speaker"])
    return found
