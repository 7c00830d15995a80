"""A suite in two parts: `dev` to choose on, `test` for the figure that is quoted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import EvalkitError
from evalkit.suites.model import Item

DEV, TEST = "split:dev", "split:test"  # tags by which a suite says itself where an item belongs
STRATA = ("fixture:", "difficulty:")


@dataclass(frozen=True)
class Split:
    """Ids of the items of each part, in the suite's order."""

    dev: tuple[str, ...]
    test: tuple[str, ...]


def split_items(items: Sequence[Item], share: float = 0.5) -> Split:
    """Divide items; `share` of them are for `dev`.

    The tags split:dev and split:test of an item win. The others are divided within each group of equal fixture: and
    difficulty: tags, by a hash of their ids, so that neither their order nor their texts matter. An item that is added
    later moves at most one other, of its own group; a suite that wants none moved says so by tags. Raises EvalkitError
    for a share that is none, and where one part would be empty.
    """
    if not 0 < share < 1:
        raise EvalkitError(f"--split {share:g}: give the share of items to choose on, between 0 and 1.")
    said = {item.id: _said(item) for item in items}
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        if said[item.id] is None:
            groups.setdefault(_stratum(item), []).append(item)
    dev = {name for name, side in said.items() if side == DEV}
    for stratum, members in groups.items():
        count = math.floor(share * len(members) + hash_share("/".join(stratum)))
        dev |= {item.id for item in sorted(members, key=lambda item: hash_share(item.id))[:count]}
    free = [item for members in groups.values() for item in members]
    if free and not (dev and len(dev) < len(items)):  # a handful of items, all on one side by chance
        ordered = sorted(free, key=lambda item: hash_share(item.id))
        dev = dev | {ordered[0].id} if not dev else dev - {ordered[-1].id}
    found = Split(
        tuple(item.id for item in items if item.id in dev), tuple(item.id for item in items if item.id not in dev)
    )
    if not found.dev or not found.test:
        missing = "dev" if not found.dev else "test"
        raise EvalkitError(f"The split leaves no item for {missing}: take more items, or give --no-split.")
    return found


def in_stages(ids: Sequence[str], shares: Sequence[float]) -> list[list[str]]:
    """Items in stages of these shares, each a mix that a hash of the ids picked; empty stages are left out."""
    ordered = sorted(ids, key=lambda name: hash_share(f"stage/{name}"))
    ends = [round(sum(shares[: place + 1]) / sum(shares) * len(ordered)) for place in range(len(shares))]
    stages = [ordered[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [stage for stage in stages if stage]


def hash_share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _said(item: Item) -> str | None:
    sides = [tag for tag in item.tags if tag in (DEV, TEST)]
    if len(sides) > 1:
        raise EvalkitError(f"The item {item.id} is tagged {DEV} and {TEST}; leave one of them.")
    return sides[0] if sides else None


def _stratum(item: Item) -> tuple[str, ...]:
    return tuple(sorted(tag for tag in item.tags if tag.startswith(STRATA)))
