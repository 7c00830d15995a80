"""The items of a suite in stages of growing size, each a mix like the whole."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Sequence

from evalkit.errors import EvalkitError
from evalkit.suites import Item

FIRST = 16  # items that a first stage has at least: fewer could stop nobody
MOST = 4  # stages, if nobody says how many


def plan_stages(items: Sequence[Item], keep: float, stages: int | None) -> list[list[str]]:
    """Ids per stage; after stage k of n, a share `keep` ** (n - k) of the items is done.

    They depend on the items, `keep` and `stages` alone, not on the checkpoints: one that is added later costs only its
    own utterances. stages: None for as many, four at most, as leave the first 16 items. Raises EvalkitError for a share
    that is none, and for more stages than the items can fill.
    """
    if not 0 < keep < 1:
        raise EvalkitError(f"--keep {keep:g}: give the share of checkpoints that goes on after a stage, like 0.5.")
    most = 1 + math.floor(math.log(max(1.0, len(items) / FIRST)) / math.log(1 / keep) + 1e-9)
    count = stages if stages is not None else min(MOST, most)
    ends = [round(len(items) * keep ** (count - number)) for number in range(1, count + 1)]
    if any(end <= start for start, end in zip([0, *ends], ends, strict=False)):
        raise EvalkitError(f"--stages {count}: {len(items)} items are too few for so many; give fewer stages.")
    order = spread(items)
    return [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def spread(items: Sequence[Item]) -> list[str]:
    """Ids in an order in which every beginning has each tag in about its share of the whole.

    Next is the item whose tags are furthest behind; a hash of the ids decides between equals, so that neither the
    suite's order nor chance does.
    """
    tags = {item.id: ("", *item.tags) for item in items}
    total = Counter(tag for found in tags.values() for tag in found)
    taken: Counter[str] = Counter()

    def ahead(item: str) -> float:
        return sum(taken[tag] / total[tag] for tag in tags[item]) / len(tags[item])

    waiting = [(0.0, hashlib.sha256(item.id.encode()).hexdigest(), item.id) for item in items]
    heapq.heapify(waiting)
    order: list[str] = []
    while waiting:
        _, code, item = heapq.heappop(waiting)
        now = ahead(item)
        if waiting and now > waiting[0][0] + 1e-12:  # its tags were taken since: it only ever gets further ahead
            heapq.heappush(waiting, (now, code, item))
            continue
        taken.update(tags[item])
        order.append(item)
    return order
