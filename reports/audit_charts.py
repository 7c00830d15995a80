"""The plots of an audit as inline SVG: a metric's value along length, level and noise, over runs, against people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.charts import Scale, _line, _round_step, _svg, _text

WIDTH, HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 16, 34
_Axis = tuple[float, float, list[tuple[float, str]]]  # from, to, ticks with their labels


@dataclass(frozen=True)
class Curve:
    """A polyline. kind: "clip" (thin, one clip), "first" or "second" (thick, a mean). name: for the legend."""

    points: Sequence[tuple[float, float]]
    kind: str
    name: str = ""


def curve_chart(
    curves: Sequence[Curve], x_label: str, spoken: str, x_ticks: Sequence[tuple[float, str]] | None = None
) -> Markup:
    """Curves over a common x. x_ticks: (place, text) instead of round numbers. spoken: what the picture shows."""
    points = [point for curve in curves for point in curve.points]
    x_axis, y_axis = _axis([x for x, _ in points], x_ticks), _axis([y for _, y in points])
    x, y = _scales(x_axis, y_axis)
    parts = _frame(x_axis, y_axis, x, y, x_label)
    parts += [_polyline(curve, x, y) for curve in curves]
    named = [curve for curve in curves if curve.name]
    for place, curve in enumerate(named):
        left = _LEFT + 8 + 78 * place
        parts += [_line(f"curve {curve.kind}", left, 8, left + 14, 8), _text("", left + 18, 11, curve.name)]
    return _svg("audit", WIDTH, HEIGHT, spoken, parts)


def dot_chart(points: Sequence[tuple[float, float]], x_label: str, spoken: str, whole: bool = False) -> Markup:
    """One dot per point. whole: x counts something, so its ticks are whole numbers."""
    xs = [x for x, _ in points]
    ticks = None
    if whole:
        step = math.ceil(_round_step(max(1.0, (max(xs) - min(xs)) / 5)))
        ticks = [(float(k), str(k)) for k in range(math.ceil(min(xs)), math.floor(max(xs)) + 1, step)]
    x_axis, y_axis = _axis(xs, ticks), _axis([y for _, y in points])
    x, y = _scales(x_axis, y_axis)
    dots = [Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(x(a), y(b)) for a, b in points]
    return _svg("audit", WIDTH, HEIGHT, spoken, [*_frame(x_axis, y_axis, x, y, x_label), *dots])


def _axis(values: Sequence[float], ticks: Sequence[tuple[float, str]] | None = None) -> _Axis:
    """A little wider than the values; of equal values as wide as their own size, so that a flat line looks flat."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) if high - low > 1e-6 * max(1e-6, abs(low), abs(high)) else 0.5 * max(abs(high), 0.1)
    low, high = low - room, high + room
    if ticks is not None:
        return low, high, list(ticks)
    step = _round_step((high - low) / 4)
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return low, high, [(place * step, f"{place * step:.6g}") for place in places]


def _scales(x_axis: _Axis, y_axis: _Axis) -> tuple[Scale, Scale]:
    def x(value: float) -> float:
        return _LEFT + (value - x_axis[0]) / (x_axis[1] - x_axis[0]) * (WIDTH - _RIGHT - _LEFT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - y_axis[0]) / (y_axis[1] - y_axis[0]) * (HEIGHT - _BOTTOM - _TOP)

    return x, y


def _frame(x_axis: _Axis, y_axis: _Axis, x: Scale, y: Scale, x_label: str) -> list[Markup]:
    floor, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = [_line("axis", _LEFT, floor, right, floor)]
    for value, text in x_axis[2]:
        parts += [_line("axis", x(value), floor, x(value), floor + 3), _text("num mid", x(value), floor + 14, text)]
    for value, text in y_axis[2]:
        parts += [_line("axis", _LEFT, y(value), right, y(value)), _text("num end", _LEFT - 5, y(value) + 3.5, text)]
    return [*parts, _text("mid", (_LEFT + right) / 2, HEIGHT - 4, x_label)]


def _polyline(curve: Curve, x: Scale, y: Scale) -> Markup:
    path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in curve.points)
    return Markup('<path class="curve {}" d="M{}"/>').format(curve.kind, path)
