"""Which point: the best on dev, those that cannot be told from it, and of these the one nearest to the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.decisions.scores import Scores
from evalkit.decisions.sweep.evaluating import difference, mean_of
from evalkit.decisions.sweep.points import Point, distance


@dataclass(frozen=True)
class Candidate:
    point: Point
    scores: Scores


@dataclass(frozen=True)
class Choice:
    """best: of the highest mean (lowest, where lower is better); alike: those that cannot be told from it, it included.

    chosen: of these the nearest to the default; of several equally near the better.
    """

    best: Candidate
    alike: tuple[Candidate, ...]
    chosen: Candidate


def choose(candidates: Sequence[Candidate], column: str, better: str, default: Point) -> Choice | None:
    """None where no candidate has a value.

    A point cannot be told from the best if the 95 % interval of their paired difference includes 0, or there are too
    few items for one. With many points the best is so by luck too, which this does not count: the more reason to quote
    its figure from other items.
    """
    sign = 1.0 if better == "higher" else -1.0
    means = {one.point: sign * mean for one in candidates if (mean := mean_of(one.scores, column)) is not None}
    valued = [one for one in candidates if one.point in means]
    if not valued:
        return None
    best = max(valued, key=lambda one: (means[one.point], -distance(one.point, default)))
    alike = tuple(one for one in valued if one is best or not _told_apart(best.scores, one.scores, column))
    chosen = min(alike, key=lambda one: (round(distance(one.point, default), 9), -means[one.point]))
    return Choice(best, alike, chosen)


def pareto(figures: Sequence[Mapping[str, float | None]], better: Mapping[str, str]) -> list[bool]:
    """Whether each point is on the front: none is at least as good in every column and better in one.

    A point without a value in some column is not on it.
    """
    rows = [_oriented(one, better) for one in figures]
    return [row is not None and not any(other is not None and _dominates(other, row) for other in rows) for row in rows]


def _oriented(one: Mapping[str, float | None], better: Mapping[str, str]) -> tuple[float, ...] | None:
    values = [one.get(column) for column in better]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return tuple(v if sense == "higher" else -v for v, sense in zip(known, better.values(), strict=True))


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _told_apart(best: Scores, other: Scores, column: str) -> bool:
    found = difference(best, other, column)
    bounds = found.ci95 if found is not None else None
    return bounds is not None and (bounds[0] > 0 or bounds[1] < 0)
