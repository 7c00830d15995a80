"""The plan of a run: which utterances, with which seeds, in which batches.

The plan depends only on content, never on what is already done: a resumed run makes the same batches as an
uninterrupted one, hence the same scores to the last bit.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import EvalkitError
from evalkit.registry import unknown
from evalkit.suites import Item

SECONDS_PER_CHARACTER = 1 / 14  # read English, about 150 words a minute


@dataclass(frozen=True)
class Utterance:
    """One item spoken once. expected_s: a guess at its length; source: the audio file, when it exists already.

    no_reference: why it has no reference clip, where others have one.
    """

    id: str
    item: Item
    repeat: int
    seed: int
    expected_s: float
    source: Path | None = None
    sample_rate: int | None = None
    references: tuple[Path, ...] = ()
    no_reference: str | None = None


def seed_of(seed: int, item: str, repeat: int) -> int:
    """Seed of one utterance: a function of the run's seed, the item and the repeat alone (31 bits)."""
    name = f"{seed}/{item}/{repeat}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") >> 1


def utterances(items: Sequence[Item], repeats: int, seed: int) -> list[Utterance]:
    return [
        Utterance(f"{item.id}.r{repeat}", item, repeat, seed_of(seed, item.id, repeat), _expected_seconds(item))
        for item in items
        for repeat in range(repeats)
    ]


def batches(planned: Sequence[Utterance], max_batch: int, seconds: float) -> list[list[Utterance]]:
    """Longest first, so that out of memory shows at once; filled by padded seconds of one sample rate, not by count."""
    ordered = sorted(planned, key=lambda u: (u.sample_rate or 0, -u.expected_s, u.id))
    made: list[list[Utterance]] = []
    for utterance in ordered:
        batch = made[-1] if made else []
        fits = (
            bool(batch)
            and len(batch) < max_batch
            and batch[0].sample_rate == utterance.sample_rate
            and batch[0].expected_s * (len(batch) + 1) <= seconds
        )
        if fits:
            batch.append(utterance)
        else:
            made.append([utterance])
    return made


def select_items(items: Sequence[Item], patterns: Sequence[str], limit: int | None) -> list[Item]:
    """Items whose id or tag matches any pattern (shell wildcards), at most `limit`, in the suite's order.

    Raises EvalkitError on a pattern that matches nothing.
    """
    chosen = list(items)
    if patterns:
        matched: set[str] = set()
        for pattern in patterns:
            hits = {i.id for i in items if any(fnmatch.fnmatchcase(name, pattern) for name in (i.id, *i.tags))}
            if not hits:
                raise EvalkitError(unknown("item", pattern, [i.id for i in items]))
            matched |= hits
        chosen = [item for item in items if item.id in matched]
    return chosen[:limit] if limit is not None else chosen


def _expected_seconds(item: Item) -> float:
    return 0.5 + len(item.spoken) * SECONDS_PER_CHARACTER
