"""The longest part of a set of clips whose pooled energy spread reaches a floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalkit.diagnostics.training.rows import Floats
from evalkit.diagnostics.training.spread import countable

ROUNDS = 30
LEAST_CLIPS = 30  # fewer are no training set, and no verdict is given on them


@dataclass(frozen=True)
class Part:
    """centre_db, least_db: the clips whose frames lie least_db or more (root mean square) from centre_db, in dBFS."""

    clips: int
    seconds: float
    std_db: float
    centre_db: float
    least_db: float


def variable_part(frames: Floats, means: Floats, stds: Floats, seconds: Floats, floor: float) -> Part | None:
    """Greedy: the clips whose frames lie farthest from a centre come first, as many as keep the spread at the floor.

    The spread about any fixed level is a mean over frames, of which taking the largest first is best; the centre then
    moves to the mean of what was taken, until nothing changes. None where LEAST_CLIPS such clips do not reach it.
    """
    there = countable(frames, means, stds) & np.isfinite(seconds)
    if there.sum() < LEAST_CLIPS:
        return None
    n, m, s, length = (column[there] for column in (frames, means, stds, seconds))
    centre = float(np.average(m, weights=n))
    best: Part | None = None
    for _ in range(ROUNDS):
        found, centre_next = _longest(n, m, s, length, floor, centre)
        if found is None:
            break
        if best is None or found.seconds > best.seconds:
            best = found
        if abs(centre_next - centre) < 1e-6:
            break
        centre = centre_next
    return best


def _longest(n: Floats, m: Floats, s: Floats, length: Floats, floor: float, centre: float) -> tuple[Part | None, float]:
    """The longest prefix, farthest clips first, that reaches the floor, and its mean level."""
    far = np.sqrt(s**2 + (m - centre) ** 2)
    order = np.argsort(-far, kind="stable")
    total = np.cumsum(n[order])
    mean = np.cumsum((n * (m - centre))[order]) / total
    std = np.sqrt(np.maximum(np.cumsum((n * far**2)[order]) / total - mean**2, 0))
    reach = np.flatnonzero(std[LEAST_CLIPS - 1 :] >= floor)
    if not len(reach):
        return None, centre
    last = int(reach[-1]) + LEAST_CLIPS - 1
    part = Part(last + 1, float(length[order][: last + 1].sum()), float(std[last]), centre, float(far[order[last]]))
    return part, centre + float(mean[last])
