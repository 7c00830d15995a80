"""The trends of one job: a chart per column over all nights, broken where numbers stop being of one kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from reports.columns import DIRECTION, ordered
from reports.nightly_parts import badge, shown_columns, stretches, tone
from reports.pages import page, style
from reports.plots import Series, line_chart
from reports.values import is_number

LONGEST = 400  # nights in a chart
_TICKS = 6

Row = Mapping[str, Any]


def render_trends(title: str, job: Mapping[str, Any], rows: Sequence[Row], baselines: Collection[str]) -> str:
    """rows: of the history, oldest first, with night, run, column, mean, low, high, passport, unit and better.

    baselines: names of accepted runs, whose first night is marked.
    """
    by_column: dict[str, list[Row]] = {}
    for row in rows:
        if is_number(row["mean"]):
            by_column.setdefault(row["column"], []).append(row)
    last = {name: found[-1] for name, found in by_column.items()}
    main = shown_columns(last, set())
    rest = [name for name in by_column if name not in main and last[name]["better"] != "neither"]
    nights = list(dict.fromkeys(row["night"] for row in rows))[-LONGEST:]
    charts = [_chart(name, by_column[name], nights, baselines) for name in ordered(by_column)]
    context = {
        "title": title,
        "job": job,
        "badge": badge(job),
        "tone": tone(job),
        "nights": nights,
        "charts": [chart for chart in charts if chart["name"] in main],
        "others": [chart for chart in charts if chart["name"] in rest],
        "style": style("report.css", "plots.css", "nightly.css"),
    }
    return page("nightly_trends.html.j2", context)


def _chart(name: str, rows: Sequence[Row], nights: Sequence[str], baselines: Collection[str]) -> dict[str, Any]:
    place = {night: float(number) for number, night in enumerate(nights)}
    shown = [row for row in rows if row["night"] in place]
    points: list[tuple[float, float]] = []
    intervals: list[tuple[float, float] | None] = []
    marks = _baseline_marks(shown, place, baselines)
    runs = stretches(shown)
    for stretch in runs:
        if points:  # another passport: the line ends here, and a new one begins
            between = place[shown[stretch[0]]["night"]] - 0.5
            points.append((between, float("nan")))
            intervals.append(None)
            marks.append((between, "passport changed"))
        for index in stretch:
            row = shown[index]
            points.append((place[row["night"]], row["mean"]))
            intervals.append((row["low"], row["high"]) if is_number(row["low"]) and is_number(row["high"]) else None)
    unit = rows[-1]["unit"]
    said = f"{name} over {len(shown)} nights"
    return {
        "name": name,
        "unit": unit,
        "direction": DIRECTION[rows[-1]["better"]],
        "breaks": len(runs) - 1,
        "svg": _drawn(name, unit, points, intervals, sorted(marks), _ticks(nights), said),
    }


def _drawn(
    name: str,
    unit: str,
    points: Sequence[tuple[float, float]],
    intervals: Sequence[tuple[float, float] | None],
    marks: Sequence[tuple[float, str]],
    ticks: Mapping[float, str],
    label: str,
) -> Markup:
    series = Series(name, points, intervals)
    return line_chart([series], x="night", y=unit or name, label=label, marks=marks, ticks=ticks)


def _baseline_marks(
    rows: Sequence[Row], place: Mapping[str, float], baselines: Collection[str]
) -> list[tuple[float, str]]:
    """The first night of every run that is an accepted baseline."""
    first: dict[str, str] = {}
    for row in rows:
        if row["run"] in baselines:
            first.setdefault(row["run"], row["night"])
    return [(place[night], "baseline") for night in first.values()]


def _ticks(nights: Sequence[str]) -> dict[float, str]:
    """A few nights by name, the first and the last among them."""
    count = len(nights)
    if count <= _TICKS:
        return {float(place): _short(night) for place, night in enumerate(nights)}
    places = {round(part * (count - 1) / (_TICKS - 1)) for part in range(_TICKS)}
    return {float(place): _short(nights[place]) for place in sorted(places)}


def _short(night: str) -> str:
    """Of a date, month and day: the year is on the page already."""
    parts = night.split("-")
    is_date = len(parts) == 3 and all(part.isdecimal() for part in parts)
    return "-".join(parts[1:]) if is_date else night[:10]
