"""The per-tag breakdown: groups of tags ("language:ta" is in the group "language"), each tag a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.charts import dot_and_interval
from reports.values import MISSING, decimals, interval, is_number, number

_FIXTURE = {"seen": "names the voice was trained on", "unseen": "names it never saw"}


@dataclass(frozen=True)
class TagCell:
    mean: str = MISSING
    interval: str = MISSING
    n: int = 0
    chart: Markup | None = None


@dataclass(frozen=True)
class TagLine:
    name: str
    n: int
    cells: tuple[TagCell, ...]


@dataclass(frozen=True)
class TagGroup:
    name: str
    lines: tuple[TagLine, ...]


def tag_groups(summary: Mapping[str, Any], columns: Sequence[str]) -> list[TagGroup]:
    """Groups by name, fixture first (what the voice learnt by heart is told apart); the largest tag first in each."""
    tags: Mapping[str, Any] = summary.get("tags") or {}
    grouped: dict[str, list[str]] = {}
    for tag in sorted(tags, key=lambda tag: (-tags[tag]["n"], tag)):
        grouped.setdefault(tag.partition(":")[0] if ":" in tag else "tag", []).append(tag)
    scales = {name: _scale(tags, name) for name in columns}
    groups = []
    for group in sorted(grouped, key=lambda group: (group != "fixture", group)):
        members = sorted(grouped[group]) if group == "fixture" else grouped[group]
        lines = [_line(summary, group, tag, tags[tag], scales) for tag in members]
        groups.append(TagGroup(group, tuple(lines)))
    return groups


def _line(
    summary: Mapping[str, Any],
    group: str,
    tag: str,
    found: Mapping[str, Any],
    scales: Mapping[str, tuple[float, float]],
) -> TagLine:
    name = tag.partition(":")[2] or tag
    label = _FIXTURE.get(name, name) if group == "fixture" else name
    cells = []
    for column, scale in scales.items():
        of_tag = found["columns"].get(column)
        cells.append(_cell(of_tag, summary["columns"][column], scale) if of_tag else TagCell())
    return TagLine(label, found["n"], tuple(cells))


def _cell(of_tag: Mapping[str, Any], column: Mapping[str, Any], scale: tuple[float, float]) -> TagCell:
    mean, bounds, digits = of_tag.get("mean"), of_tag.get("ci95"), decimals(column)
    if not is_number(mean):
        return TagCell()
    chart = dot_and_interval(mean, bounds, scale, column["mean"])
    return TagCell(number(mean, digits), interval(bounds, digits), of_tag["n"], chart)


def _scale(tags: Mapping[str, Any], column: str) -> tuple[float, float]:
    """From the lowest to the highest bound of any tag."""
    ends: list[float] = []
    for tag in tags.values():
        of_tag = tag["columns"].get(column)
        if of_tag and is_number(of_tag.get("mean")):
            ends += [of_tag["mean"], *(of_tag.get("ci95") or ())]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)
