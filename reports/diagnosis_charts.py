"""The pictures of a diagnosis: where its speakers lie among the published ones, and their distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.charts import Bins, Scale, _bars, _line, _round_step, _svg
from reports.diagnosis_lines import COLLAPSE_BELOW, GAIN_FROM, Speaker, gain, of, outcome, squeezed
from reports.dot_names import beside_dots
from reports.plot_axes import CHARACTER, Box, Frame, axes, linear_axis, text
from reports.plots import _LEFT, _NARROW, _WIDE, _both
from reports.values import is_number, number

FEW = 12  # speakers whose names may be moved away from their dots; of more, only those with room beside them have one
_MOST = 200  # of even more, the first ones look for room
_LETTERS = {_WIDE: 24, _NARROW: 14}
_REACH = (0.0, 14.0, 28.0, 44.0, 62.0)  # how far a name may be moved from its dot
_STRIP, _TALL, _STRIP_WIDTH, _NAME_WIDTH = 24, 110, 340, 92
_BEYOND = 0.005  # share of the clips at either end that may lie outside a distribution's axis


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float
    name: str
    kind: str  # "published" or "own" with its outcome
    x_interval: tuple[float, float] | None = None
    y_interval: tuple[float, float] | None = None


def outcome_chart(speakers: Sequence[Speaker], published: Sequence[Mapping[str, Any]]) -> Markup:
    """Energy sd against DNS-MOS sd: the zones of the rule, the published speakers, and these with their intervals."""
    own = [dot for speaker in speakers if (dot := _own(speaker))]
    dots = [*own, *(_Dot(p["energy_std_db"], p["dnsmos_sd"], f"{p['name']} {gain(p)}", "published") for p in published)]
    across = linear_axis([*_ends(dots, "x"), 8.0, 14.5])
    along = linear_axis(_ends(dots, "y") or [0.2, 0.4])
    spoken = "; ".join(f"{dot.name} at {dot.x:.2f} dB and {dot.y:.3f}" for dot in dots[:40])
    label = f"Energy sd against DNS-MOS sd with the zones of the rule. {spoken}".strip()

    def draw(width: float) -> Markup:
        wide = width == _WIDE
        frame = Frame(_LEFT, width - 12, 40, 400 if wide else 360, width)
        zones = _zones(across.low, across.high, wide)
        x, y = frame.x(across), frame.y(along)
        starts = _in_a_row([((x(low) + x(high)) / 2, CHARACTER * len(words)) for low, high, _, words in zones], width)
        parts = [text("title", 4, 12, "DNS-MOS sd")]
        parts += [_zone(x(low), x(high), frame, kind) for low, high, kind, _ in zones]
        parts += [text(f"zone {kind}", at, 32, words) for at, (_, _, kind, words) in zip(starts, zones, strict=True)]
        parts += axes(across, along, frame)
        parts += _drawn(dots, x, y, frame)
        parts.append(text("title mid", (frame.left + frame.right) / 2, frame.floor + 34, "energy sd in dB"))
        return _svg("plotted outcomes", int(width), math.ceil(frame.floor + 40), label, parts)

    return _both(draw)


def _own(speaker: Speaker) -> _Dot | None:
    x, y = of(speaker, "energy", "std_db"), of(speaker, "dnsmos", "sd")
    if not is_number(x) or not is_number(y):
        return None
    kind = f"own {outcome(speaker).replace(' ', '-')}"
    return _Dot(
        x, y, speaker["name"], kind, _pair(of(speaker, "energy", "std_ci95")), _pair(of(speaker, "dnsmos", "sd_ci95"))
    )


def _pair(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return (bounds[0], bounds[1]) if bounds and all(map(is_number, bounds)) else None


def _ends(dots: Sequence[_Dot], way: str) -> list[float]:
    values = [value for dot in dots for value in (getattr(dot, way), *(getattr(dot, f"{way}_interval") or ()))]
    return [max(0.0, value) for value in values]


def _zones(low: float, high: float, wide: bool) -> list[tuple[float, float, str, str]]:
    """(from, to, class, text) of the zones, from end to end of the axis."""
    words = (
        ("below 10 dB: collapse", "10 to about 13 dB: undecided", "about 13 dB and more: gain")
        if wide
        else ("<10 collapse", "10–13 undecided", "≥13 gain")
    )
    edges = (low, COLLAPSE_BELOW, GAIN_FROM, high)
    kinds = ("collapse", "undecided", "gain")
    return [(edges[n], edges[n + 1], kinds[n], words[n]) for n in range(3)]


def _in_a_row(texts: Sequence[tuple[float, float]], width: float) -> list[float]:
    """Where texts of (middle, length) start so that none covers the next and all lie within the picture."""
    starts, edge = [], 2.0
    for middle, length in texts:
        starts.append(max(edge, middle - length / 2))
        edge = starts[-1] + length + 5
    edge = width - 2
    for place in reversed(range(len(texts))):
        starts[place] = min(starts[place], edge - texts[place][1])
        edge = starts[place] - 5
    return starts


def _zone(left: float, right: float, frame: Frame, kind: str) -> Markup:
    markup = Markup('<rect class="zone {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return markup.format(kind, left, frame.top, right - left, frame.floor - frame.top)


def _drawn(dots: Sequence[_Dot], x: Scale, y: Scale, frame: Frame) -> list[Markup]:
    """Intervals below dots below names. Where there are few speakers, their names find room before the published."""
    spots = [(x(dot.x), y(dot.y)) for dot in dots]
    whiskers: list[Box] = []
    for dot, (a, b) in zip(dots, spots, strict=True):
        if dot.x_interval:
            whiskers.append((x(dot.x_interval[0]), b, x(dot.x_interval[1]), b))
        if dot.y_interval:
            whiskers.append((a, y(dot.y_interval[1]), a, y(max(0.0, dot.y_interval[0]))))
    few = sum(dot.kind != "published" for dot in dots) <= FEW
    parts = [_line("range" if few else "range faint", *whisker) for whisker in whiskers]
    for dot, (a, b) in reversed(list(zip(dots, spots, strict=True))):
        markup = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
        says = f"{dot.name}: energy sd {number(dot.x, 2)} dB, DNS-MOS sd {number(dot.y, 3)}"
        parts.append(markup.format(f"point {dot.kind}", a, b, 3.5 if dot.kind == "published" else 5, says))
    own = [n for n, dot in enumerate(dots) if dot.kind != "published"]
    order = [n for n, dot in enumerate(dots) if dot.kind == "published"]
    order = [*own, *order] if few else [*order, *own[:_MOST]]
    reach = [_REACH if few or dots[n].kind == "published" else _REACH[:1] for n in order]
    words = [squeezed(dots[n].name, _LETTERS[frame.width]) for n in order]
    places = beside_dots(
        [(*spots[n], w, r) for n, w, r in zip(order, words, reach, strict=True)], frame, spots, whiskers
    )
    for n, said, place in zip(order, words, places, strict=True):
        if place is None:
            continue
        kind = "named published" if dots[n].kind == "published" else "named own"
        if place.leader:
            parts.append(_line("leader", *place.leader))
        parts.append(text(f"{kind} mid", (place.box[0] + place.box[2]) / 2, place.box[3] - 2, said))
    return parts


def strips(measure: str, unit: str, speakers: Sequence[tuple[str, Bins | None]], axis: tuple[float, float]) -> Markup:
    """One distribution per speaker below each other over one axis, each as tall as its tallest bar, with its median.

    axis: from where to where (`shared_axis`); what lies outside is counted in the bar at that end.
    """
    low, high = axis
    alone = len(speakers) == 1
    height, left, right = (_TALL if alone else _STRIP), (4 if alone else _NAME_WIDTH), _STRIP_WIDTH - 14

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts: list[Markup] = []
    for place, (name, bins) in enumerate(speakers):
        top, floor = place * height + 3, (place + 1) * height
        if not alone:
            parts.append(_name(name, floor - 5))
        parts.append(_line("axis", left, floor, right, floor))
        if bins is None:
            parts.append(text("", left + 2, floor - 5, "no values"))
            continue
        parts.append(_bars(_cut(bins, low, high), x, top, floor))
        middle = min(max(median(bins), low), high)
        parts.append(_line("mean", x(middle), top - 2, x(middle), floor))
    floor = len(speakers) * height
    for tick in _ticks(low, high):
        parts += [_line("axis", x(tick), floor, x(tick), floor + 4)]
        parts += [text("num mid", x(tick), floor + 15, f"{tick:.6g}".replace("-", "−"))]
    medians = "; ".join(f"{name} {median(bins):.4g}" for name, bins in speakers[:12] if bins)
    label = f"{measure} in {unit} per speaker, medians: {medians or 'no values'}"
    return _svg("strips", _STRIP_WIDTH, floor + 20, label, parts)


def _name(name: str, baseline: float) -> Markup:
    markup = Markup('<text class="of" x="0" y="{:.1f}">{}<title>{}</title></text>')
    return markup.format(baseline, squeezed(name, 14), name)


def shared_axis(found: Sequence[Bins]) -> tuple[float, float]:
    """From the lowest to the highest value of all speakers, without the few that would flatten the rest."""
    ends = [(_quantile(bins, _BEYOND), _quantile(bins, 1 - _BEYOND)) for bins in found]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    width = max(bins.width for bins in found)
    low, high = low - width, high + width
    floor, ceiling = min(bins.low for bins in found), max(bins.high for bins in found)
    return max(low, floor), min(high, ceiling)


def median(bins: Bins) -> float:
    return _quantile(bins, 0.5)


def _quantile(bins: Bins, share: float) -> float:
    """Interpolated within its bin."""
    wanted, before = share * sum(bins.counts), 0
    for place, count in enumerate(bins.counts):
        if count and before + count >= wanted:
            return bins.low + (place + (wanted - before) / count) * bins.width
        before += count
    return bins.high


def _cut(bins: Bins, low: float, high: float) -> Bins:
    """Only the bins wholly within the axis; the others are added to the one at that end."""
    first = max(0, math.ceil((low - bins.low) / bins.width - 1e-9))
    last = min(len(bins.counts), math.floor((high - bins.low) / bins.width + 1e-9))
    first, last = min(first, len(bins.counts) - 1), max(last, first + 1)
    counts = list(bins.counts[first:last])
    counts[0] += sum(bins.counts[:first])
    counts[-1] += sum(bins.counts[last:])
    return Bins(bins.low + first * bins.width, bins.width, tuple(counts))


def _ticks(low: float, high: float) -> list[float]:
    step = _round_step((high - low) / 5)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def bins_of(found: Mapping[str, Any] | None) -> Bins | None:
    """The bins of a histogram of the diagnosis; None where it counts nothing."""
    if not found or not any(found["counts"]) or not found["width"] > 0:
        return None
    return Bins(found["low"], found["width"], tuple(found["counts"]))
