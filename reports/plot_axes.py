"""Axes of plots, and texts that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.charts import Scale, _line, _round_step

CHARACTER = 6.9  # width of a bold letter at the size that plots.css sets
LINE = 14.0
Ticks = Sequence[tuple[float, str]]
Mark = tuple[float, str]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    ticks: Ticks
    transform: Callable[[float], float] = float


@dataclass(frozen=True)
class Frame:
    """Where the data is drawn, in units of the picture, which is `width` wide."""

    left: float
    right: float
    top: float
    floor: float
    width: float

    def x(self, axis: Axis) -> Scale:
        return _scale(axis, self.left, self.right)

    def y(self, axis: Axis) -> Scale:
        return _scale(axis, self.floor, self.top)


def linear_axis(values: Sequence[float], ticks: Mapping[float, str] | None = None) -> Axis:
    """A little wider than the values; of equal values as wide as their own size, so that a flat line looks flat."""
    low, high = min(values), max(values)
    apart = high - low > 1e-9 * max(abs(low), abs(high))
    room = 0.05 * (high - low) if apart else 0.5 * (abs(high) or 0.2)
    low, high = low - room, high + room
    if ticks is not None:
        return Axis(low, high, sorted(ticks.items()))
    step = _round_step((high - low) / 7)
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return Axis(low, high, [(place * step, _written(place * step)) for place in places])


def log_axis(values: Sequence[float], ticks: Mapping[float, str] | None = None) -> Axis:
    """Of values above 0. Without ticks of its own: 1, 2 and 5 times the powers of ten."""
    low, high = min(values), max(values)
    room = max(high / low, 1.2) ** 0.05
    low, high = low / room, high * room
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    chosen = ticks if ticks is not None else {step: _written(step) for step in steps if low <= step <= high}
    return Axis(low, high, sorted(chosen.items()), math.log10)


def axes(across: Axis, along: Axis, frame: Frame, ticks_below: bool = True) -> list[Markup]:
    """The floor with its ticks, and a thin line across at each tick of y."""
    x, y = frame.x(across), frame.y(along)
    parts = [_line("axis", frame.left, frame.floor, frame.right, frame.floor)]
    for value, words in along.ticks:
        parts.append(_line("axis", frame.left, y(value), frame.right, y(value)))
        parts.append(text("num end", frame.left - 6, y(value) + 4, words))
    for value, words in _that_fit(across.ticks, x) if ticks_below else ():
        parts.append(_line("axis", x(value), frame.floor, x(value), frame.floor + 4))
        parts.append(text("num mid", x(value), frame.floor + 16, words))
    return parts


def text(kind: str, x: float, y: float, words: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, words)


def shortened(words: str, room: float) -> str:
    """As much of a text as fits, with an ellipsis where something is missing."""
    letters = max(4, int(room / CHARACTER))
    return words if len(words) <= letters else words[: letters - 1] + "…"


def mark_rows(marks: Sequence[Mark], x: Scale, width: float) -> list[list[tuple[float, str]]]:
    """(left end, text) of the texts of marks, in as few rows as it takes for none to cover another."""
    rows: list[list[tuple[float, str]]] = []
    for place, whole in sorted(marks):
        words = shortened(whole, width - 4)
        length = CHARACTER * len(words)
        start = min(max(2.0, x(place) - length / 2), max(2.0, width - 2 - length))
        free = next((row for row in rows if row[-1][0] + CHARACTER * (len(row[-1][1]) + 1) < start), None)
        if free is None:
            rows.append(free := [])
        free.append((start, words))
    return rows


def beside(points: Sequence[tuple[float, float]], words: Sequence[str], frame: Frame) -> list[tuple[str, Box] | None]:
    """Where the name of each point has room: right, above, below or left of it; None where it has none.

    Earlier points choose first. Returns class ("", "end", "mid") and box per point.
    """
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    found: list[tuple[str, Box] | None] = []
    for (x, y), said in zip(points, words, strict=True):
        length = CHARACTER * len(said)
        spots: list[tuple[str, Box]] = [
            ("", (x + 7, y - 7, x + 7 + length, y + 6)),
            ("mid", (x - length / 2, y - 20, x + length / 2, y - 7)),
            ("mid", (x - length / 2, y + 7, x + length / 2, y + 20)),
            ("end", (x - 7 - length, y - 7, x - 7, y + 6)),
        ]
        inside = [
            (kind, box)
            for kind, box in spots
            if box[0] >= 2 and box[2] <= frame.width - 2 and box[1] >= frame.top - 8 and box[3] <= frame.floor
        ]
        spot = next(((k, box) for k, box in inside if not any(_overlap(box, other) for other in taken)), None)
        if spot:
            taken.append(spot[1])
        found.append(spot)
    return found


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _scale(axis: Axis, start: float, end: float) -> Scale:
    low, high = axis.transform(axis.low), axis.transform(axis.high)
    return lambda value: start + (axis.transform(value) - low) / (high - low) * (end - start)


def _that_fit(ticks: Ticks, x: Scale) -> list[tuple[float, str]]:
    """The ticks whose texts do not cover the one before; of two that collide at the end, the last stays."""
    shown: list[tuple[float, str]] = []
    for tick in ticks:
        if shown and _near(shown[-1], tick, x):
            if tick != ticks[-1]:
                continue
            while len(shown) > 1 and _near(shown[-1], tick, x):
                shown.pop()
            if _near(shown[-1], tick, x):
                continue
        shown.append(tick)
    return shown


def _near(left: Mark, right: Mark, x: Scale) -> bool:
    return x(right[0]) - x(left[0]) < CHARACTER * (len(left[1]) + len(right[1])) / 2 + 6


def _written(value: float) -> str:
    return f"{value:.6g}".replace("-", "−") if abs(value) < 1e6 else f"{value:.3g}".replace("-", "−")
