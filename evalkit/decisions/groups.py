"""Groups of tags, such as seen and unseen speakers: the mean and the variance of their members' means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evalkit.decisions.scores import Scores, pooled
from evalkit.errors import EvalkitError

Members = Mapping[str, Sequence[str]]  # name of a group -> tags


def groups_from(settings: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`["unseen=speaker:1401,speaker:1212"]`. Raises EvalkitError for what is not NAME=TAG,TAG."""
    groups: dict[str, tuple[str, ...]] = {}
    for setting in settings:
        name, _, tags = (part.strip() for part in setting.partition("="))
        members = tuple(tag.strip() for tag in tags.split(",") if tag.strip())
        if not name or not members:
            raise EvalkitError(f"--group {setting}: write NAME=TAG,TAG, like unseen=speaker:1401,speaker:1212.")
        if name in groups:
            raise EvalkitError(f"--group {name} is given twice.")
        groups[name] = members
    return groups


def group_members(sides: Sequence[Scores], groups: Members) -> Members:
    """The groups, when every side has every tag. Raises EvalkitError naming the tag that is not there."""
    for side in sides:
        tags = {tag for row in side.rows for tag in row["tags"]}
        for name, members in groups.items():
            for tag in members:
                if tag not in tags:
                    known = ", ".join(sorted(tags)[:12]) or "none at all"
                    raise EvalkitError(f"--group {name}: {side.run} has no item tagged '{tag}'; its tags: {known}.")
    return groups


def group_figures(sides: Sequence[Scores], groups: Members, columns: Sequence[str]) -> dict[str, Any]:
    """name -> column -> per side the mean and the variance of the members' means, or None where a member has no value.

    The variance is that of a population (divided by the number of members), as papers print it. A member's mean is over
    its items, repeats averaged first; of a corpus figure it is the member's own.
    """
    return {
        name: {column: [_figures(side, members, column) for side in sides] for column in columns}
        for name, members in groups.items()
    }


def _figures(side: Scores, members: Sequence[str], column: str) -> dict[str, Any] | None:
    means = {tag: _mean(side.tagged(tag), column) for tag in members}
    values = [mean for mean in means.values() if mean is not None]
    if len(values) < len(members):
        return None
    return {"mean": float(np.mean(values)), "variance": float(np.var(values)), "members": means}


def _mean(side: Scores, column: str) -> float | None:
    if pooled(column):
        counts = list(side.counts(column).values())
        return sum(errors for errors, _ in counts) / sum(units for _, units in counts) if counts else None
    items = side.values(column)
    return float(np.mean([np.mean(repeats) for repeats in items.values()])) if items else None
