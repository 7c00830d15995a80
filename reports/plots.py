"""Line charts and scatter plots as inline SVG, drawn once for wide places and once for narrow ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from reports.charts import Scale, _line, _svg
from reports.plot_axes import (
    CHARACTER,
    LINE,
    Axis,
    Frame,
    Mark,
    axes,
    beside,
    linear_axis,
    log_axis,
    mark_rows,
    shortened,
    text,
)
from reports.values import is_number

Tone = Literal["main", "second", "quiet"]
Kind = Literal["plain", "front", "chosen"]
Point = tuple[float, float]
Bounds = tuple[float, float] | None

_WHISKERS = 14  # points of a series; one with more has a band
_DOTS = 60
_LEFT = 52.0
_NARROW, _WIDE = 340.0, 720.0  # the widths for which letters have their size


@dataclass(frozen=True)
class Series:
    """Points in order of x; a value that is no finite number interrupts the line. intervals: of y, per point.

    joined: False for points without a line.
    """

    name: str
    points: Sequence[Point]
    intervals: Sequence[Bounds] = ()
    tone: Tone = "main"
    joined: bool = True


@dataclass(frozen=True)
class Panel:
    """One y axis with its series; panels stand above each other over one x axis."""

    series: Sequence[Series]
    y: str


@dataclass(frozen=True)
class Dot:
    """kind: "front" lies on the Pareto front; "chosen" is the one that was picked. off_front: and lies not on it."""

    x: float
    y: float
    name: str
    kind: Kind = "plain"
    x_interval: Bounds = None
    y_interval: Bounds = None
    off_front: bool = False


@dataclass(frozen=True)
class _Over:
    """What lies over all panels. x: title of the axis."""

    axis: Axis
    x: str
    marks: Sequence[Mark]
    spans: Sequence[tuple[float, float]]


def line_chart(
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    label: str,
    marks: Sequence[Mark] = (),
    spans: Sequence[tuple[float, float]] = (),
    ticks: Mapping[float, str] | None = None,
    log_x: bool = False,
) -> Markup:
    """Lines over a common x, with their intervals and their names beside them. Needs plots.css after report.css.

    x, y: titles of the axes; label: what the picture shows, for those who cannot see it; marks: places on x with a
    text; spans: stretches of x to shade; ticks: what stands at which x instead of round numbers; log_x: of x above 0.
    """
    return panel_chart([Panel(series, y)], x=x, label=label, marks=marks, spans=spans, ticks=ticks, log_x=log_x)


def panel_chart(
    panels: Sequence[Panel],
    *,
    x: str,
    label: str,
    marks: Sequence[Mark] = (),
    spans: Sequence[tuple[float, float]] = (),
    ticks: Mapping[float, str] | None = None,
    log_x: bool = False,
) -> Markup:
    """As `line_chart`, with several panels above each other over the same x."""
    xs = [place for panel in panels for one in panel.series for place, _ in _drawn(one)]
    if not xs:
        return _nothing(label)
    xs += [place for place, _ in marks]
    over = _Over((log_axis if log_x else linear_axis)(xs, ticks), x, marks, spans)
    return _both(lambda width: _panels(panels, over, label, width))


def scatter(
    dots: Sequence[Dot], *, x: str, y: str, label: str, better_x: Literal["higher", "lower"] = "higher"
) -> Markup:
    """Dots with names and intervals; the Pareto front is a step line through the "front" and "chosen" dots.

    better_x: which end of x is the good one, as that says on which side of a dot the step lies.
    """
    if not dots:
        return _nothing(label)
    across = linear_axis([v for dot in dots for v in (dot.x, *(dot.x_interval or ()))])
    along = linear_axis([v for dot in dots for v in (dot.y, *(dot.y_interval or ()))])

    def draw(width: float) -> Markup:
        frame = Frame(_LEFT, width - 12, 24, 24 + (300 if width == _WIDE else 240), width)
        parts = [text("title", 4, 12, y), *axes(across, along, frame)]
        parts += _dots(dots, frame.x(across), frame.y(along), frame, better_x)
        parts.append(text("title mid", (frame.left + frame.right) / 2, frame.floor + 34, x))
        return _svg("plotted", int(width), math.ceil(frame.floor + 40), label, parts)

    return _both(draw)


def _both(draw: Callable[[float], Markup]) -> Markup:
    """The style sheet shows the one that fits its place, so that letters have one size on a desk and on a phone."""
    markup = Markup('<div class="plot"><div class="plot-wide">{}</div><div class="plot-narrow">{}</div></div>')
    return markup.format(draw(_WIDE), draw(_NARROW))


def _nothing(label: str) -> Markup:
    return Markup('<p class="plot-empty">{}: nothing to draw yet.</p>').format(label)


def _drawn(series: Series) -> list[Point]:
    return [point for point in series.points if all(map(is_number, point))]


def _panels(panels: Sequence[Panel], over: _Over, label: str, width: float) -> Markup:
    wide, several = width == _WIDE, len(panels) > 1
    tall = (190.0 if several else 240.0) if wide else (140.0 if several else 190.0)
    names = [one.name for panel in panels if len(panel.series) > 1 for one in panel.series]
    right = width - (min(190.0, 16 + CHARACTER * max(map(len, names))) if wide and names else 12)
    frame = Frame(_LEFT, right, 0, 0, width)
    rows = mark_rows(over.marks, frame.x(over.axis), width)
    parts = [text("mark", start, 12 + LINE * n, words) for n, row in enumerate(rows) for start, words in row]
    top = LINE * len(rows)
    for number, panel in enumerate(panels, start=1):
        legend = 0 if wide or len(panel.series) < 2 else LINE * len(panel.series)
        frame = replace(frame, top=top + 24 + legend, floor=top + 24 + legend + tall)
        parts.append(text("title", 4, top + 14, panel.y))
        parts += _panel(panel, over, frame, last=number == len(panels))
        if len(panel.series) > 1:
            parts += _legend(panel.series, frame.left, top + 14) if legend else _names(panel.series, frame)
        top = frame.floor + 10
    parts.append(text("title mid", (frame.left + frame.right) / 2, frame.floor + 34, over.x))
    return _svg("plotted", int(width), math.ceil(frame.floor + 40), label, parts)


def _panel(panel: Panel, over: _Over, frame: Frame, last: bool) -> list[Markup]:
    if not any(_drawn(one) for one in panel.series):
        return [text("mid", (frame.left + frame.right) / 2, (frame.top + frame.floor) / 2, "no values")]
    along = _of_values(panel)
    x, y = frame.x(over.axis), frame.y(along)
    parts = [_shade(x(low), x(high), frame) for low, high in over.spans]
    parts += axes(over.axis, along, frame, ticks_below=last)
    parts += [_line("mark", x(place), frame.top, x(place), frame.floor) for place, _ in over.marks]
    for one in sorted(panel.series, key=lambda one: one.tone == "main"):  # the main line lies over the others
        parts += _series(one, x, y)
    return parts


def _of_values(panel: Panel) -> Axis:
    values = [value for one in panel.series for _, value in _drawn(one)]
    bounds = [b for one in panel.series for pair in one.intervals if pair for b in pair if is_number(b)]
    return linear_axis([*values, *bounds])


def _shade(low: float, high: float, frame: Frame) -> Markup:
    left, right = max(frame.left, low), min(frame.right, high)
    markup = Markup('<rect class="span" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return markup.format(left, frame.top, max(1.0, right - left), frame.floor - frame.top)


def _series(series: Series, x: Scale, y: Scale) -> list[Markup]:
    """Intervals first, then the line and its dots."""
    runs = _runs(series)
    count = sum(map(len, runs))
    parts: list[Markup] = []
    for run in runs:
        if count <= _WHISKERS:
            parts += [_line(f"range {series.tone}", x(a), y(p[0]), x(a), y(p[1])) for (a, _), p in run if p]
        else:
            parts += _bands(run, x, y, series.tone)
        if series.joined:
            path = "L".join(f"{x(a):.1f} {y(b):.1f}" for (a, b), _ in run)
            parts.append(Markup('<path class="series {}" d="M{}"/>').format(series.tone, path))
        if count <= _DOTS or len(run) == 1 or not series.joined:
            parts += [_circle(f"point {series.tone}", x(a), y(b), f"{series.name}: {b:.4g}") for (a, b), _ in run]
    return parts


def _runs(series: Series) -> list[list[tuple[Point, Bounds]]]:
    """The stretches without a gap."""
    runs: list[list[tuple[Point, Bounds]]] = [[]]
    for place, point in enumerate(series.points):
        pair = series.intervals[place] if place < len(series.intervals) else None
        if all(map(is_number, point)):
            runs[-1].append((point, pair if pair and all(map(is_number, pair)) else None))
        else:
            runs.append([])
    return [run for run in runs if run]


def _bands(run: Sequence[tuple[Point, Bounds]], x: Scale, y: Scale, tone: str) -> list[Markup]:
    """One area per stretch of points that have an interval."""
    stretches: list[list[tuple[float, tuple[float, float]]]] = [[]]
    for point, pair in run:
        if pair:
            stretches[-1].append((point[0], pair))
        else:
            stretches.append([])
    areas = []
    for stretch in filter(None, stretches):
        edge = [f"{x(a):.1f} {y(pair[0]):.1f}" for a, pair in stretch]
        edge += [f"{x(a):.1f} {y(pair[1]):.1f}" for a, pair in reversed(stretch)]
        areas.append(Markup('<path class="area {}" d="M{}z"/>').format(tone, "L".join(edge)))
    return areas


def _names(series: Sequence[Series], frame: Frame) -> list[Markup]:
    """Each name at the end of its line, moved where it would cover another."""
    y = frame.y(_of_values(Panel(series, "")))
    ends = sorted(((y(_drawn(one)[-1][1]) + 4, n) for n, one in enumerate(series) if _drawn(one)))
    heights: list[float] = []
    for height, _ in ends:
        heights.append(max(height, heights[-1] + LINE) if heights else height)
    too_low = max(0.0, heights[-1] - frame.floor) if heights else 0.0
    room = frame.width - frame.right - 10
    return [
        text(f"named {series[n].tone}", frame.right + 8, height - too_low, shortened(series[n].name, room))
        for height, (_, n) in zip(heights, ends, strict=True)
    ]


def _legend(series: Sequence[Series], left: float, above: float) -> list[Markup]:
    """Where there is no room beside the lines, their names stand above them."""
    parts: list[Markup] = []
    for place, one in enumerate(series, start=1):
        height = above + LINE * place
        parts.append(_line(f"series {one.tone}", left, height - 4, left + 18, height - 4))
        parts.append(text(f"named {one.tone}", left + 24, height, shortened(one.name, _NARROW - left - 30)))
    return parts


def _dots(dots: Sequence[Dot], x: Scale, y: Scale, frame: Frame, better_x: str) -> list[Markup]:
    parts: list[Markup] = []
    front = sorted((x(dot.x), y(dot.y)) for dot in dots if dot.kind != "plain" and not dot.off_front)
    if len(front) > 1:
        turns = [f"V{b:.1f}H{a:.1f}" if better_x == "higher" else f"H{a:.1f}V{b:.1f}" for a, b in front[1:]]
        parts.append(Markup('<path class="front" d="M{:.1f} {:.1f}{}"/>').format(*front[0], "".join(turns)))
    rank = {"chosen": 0, "front": 1, "plain": 2}
    ordered = sorted(dots, key=lambda dot: rank[dot.kind])  # the chosen one's name finds room first
    places = [(x(dot.x), y(dot.y)) for dot in ordered]
    for dot, (a, b) in reversed(list(zip(ordered, places, strict=True))):
        if dot.x_interval:
            parts.append(_line(f"range {dot.kind}", x(dot.x_interval[0]), b, x(dot.x_interval[1]), b))
        if dot.y_interval:
            parts.append(_line(f"range {dot.kind}", a, y(dot.y_interval[0]), a, y(dot.y_interval[1])))
        parts.append(_circle(f"point {dot.kind}", a, b, f"{dot.name}: {dot.x:.4g}, {dot.y:.4g}"))
    words = [shortened(dot.name, 160) for dot in ordered]
    for dot, said, spot in zip(ordered, words, beside(places, words, frame), strict=True):
        if spot:
            kind, box = spot
            start = {"": box[0], "end": box[2], "mid": (box[0] + box[2]) / 2}[kind]
            parts.append(text(f"named {dot.kind} {kind}".strip(), start, box[3] - 2, said))
    return parts


def _circle(kind: str, x: float, y: float, says: str) -> Markup:
    markup = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    return markup.format(kind, x, y, 5 if kind == "point chosen" else 3, says)
