"""Points of a sweep: which there are, in which order, and how far each lies from what the subject says itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.decisions.sweep.axes import MOST, Axis, Value, shown
from evalkit.errors import EvalkitError
from evalkit.files import digest


@dataclass(frozen=True)
class Point:
    """values: axis -> value, in the order of the axes."""

    values: tuple[Value, ...]
    axes: tuple[Axis, ...]

    @property
    def name(self) -> str:
        """For people: "alpha=0.6 beta=1"."""
        return " ".join(f"{axis.name}={shown(value)}" for axis, value in zip(self.axes, self.values, strict=True))

    @property
    def key(self) -> str:
        """For records: equal for equal values, whatever their types."""
        return digest([[axis.name, shown(value)] for axis, value in zip(self.axes, self.values, strict=True)])[:16]

    def by_axis(self) -> dict[Axis, Value]:
        return dict(zip(self.axes, self.values, strict=True))

    def content(self) -> dict[str, Value]:
        return {axis.name: value for axis, value in self.by_axis().items()}


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Every combination, the corners first, so that a sweep that is stopped early has seen the ends.

    Raises EvalkitError for more than 10,000 points.
    """
    lists = [axis.values or () for axis in axes]
    count = math.prod(map(len, lists))
    if count > MOST:
        raise EvalkitError(f"The grid has {count} points; {MOST} is the most. Take fewer values, or --search tpe.")
    points = [Point(values, tuple(axes)) for values in itertools.product(*lists)]
    return sorted(points, key=_inside)  # stable: else in the order of the grid


def default_point(axes: Sequence[Axis]) -> Point:
    """What the subject says itself; the middle of an axis of which it says nothing."""
    return Point(tuple(axis.default for axis in axes), tuple(axes))


def corners(axes: Sequence[Axis], most: int = 256) -> list[Point]:
    """What must be possible for a search to be: every combination of ends, as many as `most`."""
    combinations = itertools.islice(itertools.product(*(axis.ends for axis in axes)), most)
    return [Point(tuple(values), tuple(axes)) for values in combinations]


def distance(point: Point, other: Point) -> float:
    """Euclidean, every axis from 0 to 1; values that are no numbers are 1 apart."""
    both = zip(point.axes, point.values, other.values, strict=True)
    return math.sqrt(sum(_apart(axis, value, theirs) ** 2 for axis, value, theirs in both))


def contains(axes: Sequence[Axis], values: Mapping[Axis, Value]) -> bool:
    """Whether a search could come to these values."""
    return all(_within(axis, values[axis]) for axis in axes)


def _inside(point: Point) -> int:
    """How many axes are at neither end."""
    ends = [axis.values is not None and value in (axis.values[0], axis.values[-1]) for axis, value in _pairs(point)]
    return len(ends) - sum(ends)


def _pairs(point: Point) -> Sequence[tuple[Axis, Value]]:
    return list(zip(point.axes, point.values, strict=True))


def _apart(axis: Axis, value: Value, other: Value) -> float:
    places = axis.place(value), axis.place(other)
    if places[0] is None or places[1] is None:
        return float(value != other)
    return places[0] - places[1]


def _within(axis: Axis, value: Value) -> bool:
    if axis.values is not None:
        return value in axis.values
    if isinstance(value, str) or not axis.low <= float(value) <= axis.high:
        return False
    steps = (float(value) - axis.low) / axis.step if axis.step else 0.0
    return abs(steps - round(steps)) < 1e-9
