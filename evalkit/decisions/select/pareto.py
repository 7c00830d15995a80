"""Which candidates nobody beats in everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def front(points: Mapping[str, Sequence[float | None]], higher: Sequence[bool]) -> list[str]:
    """Names that no other dominates: at least as good in every column and better in one. In the order given.

    higher: of each column, whether more is better. A candidate that lacks a value is on no front and beats nobody.
    """
    gains = {
        name: [value if up else -value for value, up in zip(values, higher, strict=True) if value is not None]
        for name, values in points.items()
        if None not in values
    }
    return [
        name
        for name, mine in gains.items()
        if not any(_dominates(theirs, mine) for other, theirs in gains.items() if other != name)
    ]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
