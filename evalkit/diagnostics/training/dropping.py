"""Which clips their flags take out of a set, and what is left of each speaker."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.diagnostics.training.rows import DROPPED, Floats, rows
from evalkit.diagnostics.training.spread import countable, pooled

_COPIES = ("copy", "near copy")
KEPT = ("energy_active_frames", "energy_mean_db", "energy_std_db", "dnsmos_ovrl", "seconds")


class Dropping:
    """Decides clip by clip, in the order of the set. flags: those that drop a clip; "unreadable" always does.

    A clip that cannot be read has no length, and nothing that a trainer could open. The first copy of a clip that was
    dropped for another reason takes its place: nothing is lost for being there twice.
    """

    def __init__(self, flags: Iterable[str] = DROPPED) -> None:
        self.flags = frozenset(flags) | {"unreadable"}
        self._lost: set[int] = set()  # hashes of ids of dropped clips that a copy may stand in for

    def reasons(self, row: Mapping[str, Any]) -> list[str]:
        """The flags that drop a row of `rows.rows`; none: it is kept."""
        found = [flag for flag in row["flags"] if flag in self.flags]
        if any(flag not in _COPIES for flag in found):
            self._lost.add(hash(row["id"]))
            return found
        originals = {hash(row[name]) for name in ("copy_of", "near_copy_of") if row[name] is not None}
        if found and originals and originals <= self._lost:
            self._lost -= originals
            return []
        return found


@dataclass
class Remaining:
    """What is left of a speaker. dropped: clips; kinds: flag -> clips that it drops; seconds: that are dropped.

    other: flags of clips that are kept all the same.
    """

    clips: int = 0
    dropped: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    _kept: array[float] = field(default_factory=lambda: array("f"))  # the columns of KEPT, clip after clip

    def add(self, row: Mapping[str, Any], reasons: list[str]) -> None:
        self.clips += 1
        if reasons:
            self.dropped += 1
            self.seconds += row["seconds"] or 0.0
            self.kinds.update(reasons)
            return
        self.other.update(row["flags"])
        self._kept.extend(np.nan if row[name] is None else row[name] for name in KEPT)

    def kept(self) -> Floats:
        """A row per kept clip with the columns of KEPT, NaN where there is no value."""
        return np.frombuffer(self._kept, dtype=np.float32).reshape(-1, len(KEPT)).astype(np.float64)

    def spreads(self) -> tuple[float | None, float | None]:
        """Energy spread in dB and DNS-MOS spread of what is kept."""
        frames, means, stds, dnsmos, _ = self.kept().T
        spoken = countable(frames, means, stds)
        rated = dnsmos[np.isfinite(dnsmos)]
        std = pooled(frames[spoken], means[spoken], stds[spoken])[1] if spoken.any() else None
        return std, float(rated.std(ddof=1)) if len(rated) > 1 else None


def remaining(clips: Path, checks: Path | None, flags: Iterable[str] = DROPPED) -> dict[str, Remaining]:
    """Every speaker's, in one pass. Holds five numbers per clip, and no text."""
    found: dict[str, Remaining] = {}
    dropping = Dropping(flags)
    for row in rows(clips, checks, KEPT):
        found.setdefault(row["speaker"], Remaining()).add(row, dropping.reasons(row))
    return found


def together(parts: Iterable[Remaining]) -> Remaining:
    """What is left of all speakers."""
    whole = Remaining()
    for part in parts:
        whole.clips += part.clips
        whole.dropped += part.dropped
        whole.seconds += part.seconds
        whole.kinds.update(part.kinds)
        whole.other.update(part.other)
        whole._kept.extend(part._kept)
    return whole
