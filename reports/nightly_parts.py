"""What the pages of the nights have in common: one job's figures, changes and rules, written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.charts import _svg
from reports.columns import DIRECTION, main_columns, ordered
from reports.values import MISSING, decimals, interval, is_number, number, signed

STATUS = {
    "blocked": "blocked",
    "failed": "failed",
    "not judged": "not judged",
    "short": "coverage is short",
    "undecided": "passed, undecided",
    "no rules": "no rules",
    "pass": "passed",
}
_CORPUS = "_corpus"

Job = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A difference, and what it says in a word; kind names a style."""

    value: str
    word: str
    kind: str
    title: str


@dataclass(frozen=True)
class Figure:
    """One column of a job: tonight's mean, what changed, and the trend."""

    name: str
    unit: str
    direction: str
    mean: str
    interval: str
    baseline: Change | None
    last: Change | None
    trend: Markup | None
    blocked: bool


def figures(job: Job, main: bool, points: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> list[Figure]:
    """The main columns of a job with those that a rule blocked; or all the others. Empty for a job that failed."""
    columns: Mapping[str, Any] = job.get("columns") or {}
    blocked = {rule["column"] for rule in blocking(job) if rule.get("column") in columns}
    chosen = shown_columns(columns, blocked)
    names = [name for name in ordered(columns) if (name in chosen) == main]
    return [_figure(job, name, name in blocked, (points or {}).get(name, ())) for name in names]


def shown_columns(columns: Mapping[str, Any], blocked: set[str]) -> list[str]:
    """The main columns, and what a rule blocked, in reading order."""
    own = {name: one for name, one in columns.items() if not name.endswith(_CORPUS)}
    main = main_columns({"columns": own}) if own else []
    return [name for name in ordered(columns) if name in main or name in blocked]


def blocking(job: Job) -> list[Mapping[str, Any]]:
    return [rule for rule in (job.get("gate") or {}).get("rules", ()) if rule.get("blocks")]


def badge(job: Job) -> str:
    """`blocked, new`."""
    return STATUS[job["status"]] + (", new" if job["new"] else "")


def tone(job: Job) -> str:
    """Which style a job has: bad, warn or good."""
    if job["status"] in ("blocked", "failed", "not judged"):
        return "bad"
    return "warn" if job["status"] in ("short", "undecided", "no rules") else "good"


def counts(jobs: Sequence[Job]) -> str:
    """`1 of 3 blocked, 1 failed`; `all 3 passed`."""
    words = {"blocked": "blocked", "failed": "failed", "not judged": "not judged", "short": "short of coverage"}
    found = {word: sum(job["status"] == name for job in jobs) for name, word in words.items()}
    bad = [f"{count} {word}" for word, count in found.items() if count]
    if bad:
        first = bad[0].split(" ", 1)
        return ", ".join([f"{first[0]} of {len(jobs)} {first[1]}", *bad[1:]])
    passed = sum(job["status"] in ("pass", "undecided") for job in jobs)
    if passed == len(jobs):
        return f"all {passed} passed" if passed > 1 else "passed"
    return f"{passed} of {len(jobs)} passed, the others have no rules"


def changed(job: Job) -> list[Mapping[str, Any]]:
    """Items that changed most since the baseline; where a gate blocks, in the columns that it blocks for."""
    items: list[Mapping[str, Any]] = (job.get("baseline") or {}).get("items") or []
    columns = {str(rule["column"]).removesuffix(_CORPUS) for rule in blocking(job) if rule.get("column")}
    return [one for one in items if one["column"].removesuffix(_CORPUS) in columns] or items


def sparkline(points: Sequence[Mapping[str, Any]], label: str) -> Markup | None:
    """Means over the nights with their intervals; the line breaks where the passport changed."""
    values = [point for point in points if is_number(point["mean"])]
    if not values:
        return None
    width, height, room = 120.0, 30.0, 4.0
    ends = [bound for point in values for bound in (point["low"], point["mean"], point["high"]) if is_number(bound)]
    low, high = min(ends), max(ends)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        low, high = low - 1, high + 1
    step = (width - 2 * room) / max(1, len(values) - 1)

    def x(place: int) -> float:
        return room + place * step if len(values) > 1 else width / 2

    def y(value: float) -> float:
        return room + (high - value) / (high - low) * (height - 2 * room)

    parts: list[Markup] = []
    for stretch in stretches(values):
        drawn = [(x(place), values[place]) for place in stretch]
        bounds = [(at, point["low"], point["high"]) for at, point in drawn if is_number(point["low"])]
        if len(bounds) > 1:
            upper = [f"{at:.1f},{y(top):.1f}" for at, _, top in bounds]
            lower = [f"{at:.1f},{y(bottom):.1f}" for at, bottom, _ in reversed(bounds)]
            parts.append(Markup('<polygon class="band" points="{}"/>').format(" ".join(upper + lower)))
        line = " ".join(f"{at:.1f},{y(point['mean']):.1f}" for at, point in drawn)
        parts.append(Markup('<polyline class="trend-line" points="{}"/>').format(line))
    for place, point in enumerate(values):
        last = place == len(values) - 1
        if point["verdict"] == "blocked" or last:
            kind = "trend-dot blocked" if point["verdict"] == "blocked" else "trend-dot"
            dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>')
            parts.append(dot.format(kind, x(place), y(point["mean"]), 3 if last else 2))
    return _svg("trend", int(width), int(height), label, parts)


def stretches(points: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Places of points in a row that have one passport: only those make a line."""
    found: list[list[int]] = []
    for place, point in enumerate(points):
        if found and points[found[-1][-1]]["passport"] == point["passport"]:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def compared_with(job: Job, side: str) -> str | None:
    """Why a job has no differences on a side, or None where it has, or where there is nothing to say."""
    other = job.get(side)
    what = "the baseline" if side == "baseline" else "last night"
    if not other:
        return None
    if other["same"]:
        return "This run is the accepted baseline." if side == "baseline" else None
    if other["incomparable"]:
        return f"Not comparable with {what}: {other['incomparable']}."
    return None


def _figure(job: Job, name: str, blocked: bool, points: Sequence[Mapping[str, Any]]) -> Figure:
    column = job["columns"][name]
    digits = decimals(column)
    said = f"{name} over {len(points)} {'night' if len(points) == 1 else 'nights'}"
    return Figure(
        name=name,
        unit=column["unit"],
        direction=DIRECTION[column["better"]],
        mean=number(column["mean"], digits),
        interval=interval(column["ci95"], digits),
        baseline=_change(job.get("baseline"), name, digits),
        last=_change(job.get("last"), name, digits),
        trend=sparkline(points, said),
        blocked=blocked,
    )


def _change(other: Mapping[str, Any] | None, name: str, digits: int) -> Change | None:
    if not other:
        return None
    if other["same"]:
        return Change("=", "same run", "quiet", "the very same run")
    one = other["columns"].get(name)
    if one is None:
        return None
    word = one["answer"] or ""
    kind = word if word in ("better", "worse") else "quiet"
    bounds = interval(one["ci95"], digits, sign=True)
    title = one["why"] or ""
    return Change(signed(one["difference"], digits), word, kind, title if bounds == MISSING else f"{bounds}: {title}")
