"""Every speaker of a training set with figures and verdict, and all of them together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalkit.diagnostics.training.dropping import remaining, together
from evalkit.diagnostics.training.figures import each_speaker, speaker_figures
from evalkit.diagnostics.training.verdict import verdict


def judge_speakers(
    clips: Path, checks: Path | None, progress: Callable[[int, int], None] = lambda done, of: None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """SPEAKER of each, most hours first, and of all; the latter has a verdict only where it is the same speaker."""
    left = remaining(clips, checks)
    speakers: list[dict[str, Any]] = []
    for figures in each_speaker(clips):
        speakers.append(figures | {"verdict": verdict(figures, left[figures["name"]])})
        progress(len(speakers), len(left))
    speakers.sort(key=lambda one: (-one["hours"], one["name"]))
    whole = speaker_figures(clips, None)
    if len(speakers) == 1:
        whole["verdict"] = verdict(whole, together(left.values()))
    return speakers, whole
