"""Small charts as inline SVG: no library, no script, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 300, 150
Scale = Callable[[float], float]
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 14, 30, 20


@dataclass(frozen=True)
class Bins:
    """A histogram over [low, low + width * len(counts)]."""

    low: float
    width: float
    counts: tuple[int, ...]

    @property
    def high(self) -> float:
        return self.low + self.width * len(self.counts)


ROUNDING = 1e-9  # relative: real-time factors that are shares of one batch's time differ in their last bits only


@dataclass(frozen=True)
class Marks:
    """What is drawn over a distribution, each with the text beside it where there is room."""

    mean: float
    mean_text: str
    ci95: tuple[float, float] | None = None
    reference: float | None = None
    reference_text: str = ""


def bin_values(values: Sequence[float]) -> Bins:
    """Count finite values (at least one) in bins of a round width that start at a multiple of it.

    About 4 n^(1/3) bins at most, from 8 to 28. Values that are equal, or differ by rounding alone, get one bin with
    room beside it.
    """
    low, high = min(values), max(values)
    about = min(28.0, max(8.0, 4 * len(values) ** (1 / 3)))
    apart = high - low > ROUNDING * max(abs(low), abs(high))
    width = _round_step((high - low) / about) if apart else _round_step(abs(low) / about or 0.1)
    first = math.floor(low / width + 1e-9)
    bins = max(1, math.ceil(high / width - 1e-9) - first) if apart else 6
    counts = [0] * bins
    for value in values:
        # The largest value may lie on the last edge, which belongs to the last bin.
        counts[min(bins - 1, max(0, math.floor(value / width + 1e-9) - first))] += 1
    return Bins(first * width, width, tuple(counts))


def histogram(bins: Bins, marks: Marks, unit: str, label: str) -> Markup:
    """A histogram with counts, a labelled axis, the mean with its interval, and the reference speaker's level."""
    low, high = _domain(bins, marks)
    right, floor = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (right - _LEFT)

    parts = [_band(marks, x, _TOP, floor), _bars(bins, x, _TOP, floor)]
    parts += [_line("axis", _LEFT, floor, right, floor), _text("num end", _LEFT - 5, floor, "0")]
    parts += [_text("num end", _LEFT - 5, _TOP + 8, str(max(bins.counts)))]
    step = _round_step((high - low) / 4)
    ticks = [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    for tick in ticks:
        parts += [
            _line("axis", x(tick), floor, x(tick), floor + 3),
            _text("num mid", x(tick), floor + 14, f"{tick:.6g}"),
        ]
    parts += [_line("mean", x(marks.mean), 14, x(marks.mean), floor)]
    parts += [_beside(x(marks.mean), 11, f"mean {marks.mean_text} {unit}".strip(), "strong")]
    if marks.reference is not None:
        parts += [_line("reference", x(marks.reference), 26, x(marks.reference), floor)]
        parts += [_beside(x(marks.reference), 24, f"reference {marks.reference_text}", "")]
    return _svg("histogram", WIDTH, HEIGHT, label, parts)


def spark(bins: Bins, marks: Marks, label: str) -> Markup:
    """The same distribution, small enough for a table cell."""
    width, height = 120, 26
    low, high = _domain(bins, marks)

    def x(value: float) -> float:
        return 1 + (value - low) / (high - low) * (width - 2)

    parts = [_bars(bins, x, 3, height - 1), _line("axis", 1, height - 0.5, width - 1, height - 0.5)]
    parts += [_line("mean", x(marks.mean), 0, x(marks.mean), height)]
    if marks.reference is not None:
        parts += [_line("reference", x(marks.reference), 0, x(marks.reference), height)]
    return _svg("spark", width, height, label, parts)


def dot_and_interval(mean: float, ci95: Sequence[float] | None, scale: tuple[float, float], overall: float) -> Markup:
    """A mean with its interval on a scale shared down a table column; a thin line marks the mean of the whole run."""
    width, height = 96, 12
    low, high = scale

    def x(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return 4 + min(1.0, max(0.0, share)) * (width - 8)

    parts = [_line("axis", x(overall), 0, x(overall), height)]
    if ci95 is not None:
        parts += [_line("whisker", x(ci95[0]), height / 2, x(ci95[1]), height / 2)]
    parts += [Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="3"/>').format(x(mean), height / 2)]
    return _svg("whiskers", width, height, None, parts)


def _bars(bins: Bins, x: Scale, top: float, floor: float) -> Markup:
    tallest = max(bins.counts)
    bars = []
    for place, count in enumerate(bins.counts):
        if not count:
            continue
        left, right = x(bins.low + place * bins.width), x(bins.low + (place + 1) * bins.width)
        height = max(1.0, count / tallest * (floor - top))
        bars.append(f"M{left + 0.5:.1f} {floor:.1f}V{floor - height:.1f}H{max(left + 1, right - 0.5):.1f}V{floor:.1f}z")
    return Markup('<path class="bars" d="{}"/>').format("".join(bars))


def _band(marks: Marks, x: Scale, top: float, floor: float) -> Markup:
    if marks.ci95 is None:
        return Markup()
    left, right = x(marks.ci95[0]), x(marks.ci95[1])
    markup = Markup('<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>')
    return markup.format(left, top, max(1.0, right - left), floor - top)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    markup = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return markup.format(kind, x1, y1, x2, y2)


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, text.replace("-", "−"))


def _beside(x: float, y: float, text: str, kind: str) -> Markup:
    """Text beside a vertical line, on the side that has the room."""
    left = x < WIDTH / 2
    return _text(kind if left else f"{kind} end", x + (4 if left else -4), y, text)


def _svg(kind: str, width: int, height: int, label: str | None, parts: Sequence[Markup]) -> Markup:
    """Without a label the picture repeats numbers that stand beside it, and is hidden from screen readers."""
    spoken = Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"')
    opening = Markup('<svg class="{}" viewBox="0 0 {} {}" {}>').format(kind, width, height, spoken)
    return opening + Markup("").join(escape(part) for part in parts) + Markup("</svg>")


def _domain(bins: Bins, marks: Marks) -> tuple[float, float]:
    """From end to end of the bins, and as far as the reference speaker's level."""
    if marks.reference is None:
        return bins.low, bins.high
    return min(bins.low, marks.reference), max(bins.high, marks.reference)


def _round_step(about: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below `about` (> 0)."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= about * (1 - 1e-9))
