"""The page of a comparison: what differs, how sure that is, and the items that changed most, to be heard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from reports.charts import _line, _svg, dot_and_interval
from reports.clips import BUDGET, Clip, ClipReader
from reports.columns import DIRECTION
from reports.comparison_lines import (
    ANSWERS,
    SideLine,
    TagLine,
    coverage_lines,
    group_table,
    side_lines,
    sides,
    tag_lines,
)
from reports.pages import page, script, style
from reports.values import date, decimals, is_number, number, signed
from reports.worddiff import Piece, word_diff

_CHART_WIDTH, _CHART_HEIGHT = 200, 20
_WIDEST = 8.0  # margins on either side of 0; what lies beyond is drawn as an arrow
_ITEMS = {1: 5}  # cards per column by number of other runs
_ITEMS_OF_MANY = 3
_TO_SCALE = 6  # items of a tag whose interval belongs on the scale as a whole


@dataclass(frozen=True)
class Sound:
    """One side of a card."""

    label: str
    value: str
    row: Mapping[str, Any]
    clip: Clip
    diff: tuple[Piece, ...] | None


@dataclass(frozen=True)
class Card:
    anchor: str
    item: str
    text: str
    difference: str
    tags: tuple[str, ...]
    sounds: tuple[Sound, ...]


@dataclass(frozen=True)
class Entry:
    """A place in a column's list. `card` is None where an earlier list shows the item, or no side has audio."""

    item: str
    anchor: str
    values: str
    difference: str
    card: Card | None
    heard: bool


@dataclass(frozen=True)
class Changed:
    column: str
    direction: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class TagRow:
    group: str
    name: str
    cells: tuple[tuple[TagLine, Markup] | None, ...]


@dataclass(frozen=True)
class Part:
    """What the page says of one other run."""

    label: str
    incomparable: str | None
    verdicts: tuple[tuple[str, tuple[SideLine, ...]], ...]
    lines: tuple[tuple[SideLine, Markup | None], ...]
    changed: tuple[Changed, ...]
    tags: tuple[TagRow, ...]


def render_comparison(result: Mapping[str, Any], folders: Sequence[Path | None], page_dir: Path) -> str:
    """A self-contained page. result: what `evalkit compare --json` prints; folders: where the audio of each side is.

    page_dir: the folder that the page is to lie in, to which links to audio that is not embedded are relative.
    """
    clips = _Clips(folders, page_dir)
    headings, rows = group_table(result)
    context = {
        "style": style("report.css", "comparison.css"),
        **script("comparison.js"),
        "result": result,
        "baseline": result["baseline"],
        "coverage": coverage_lines(result),
        "short": any(side["share"] < 1 for side in result["coverage"]),
        "parts": [_part(result, index, clips) for index in range(len(result["others"]))],
        "group_headings": headings,
        "group_rows": rows,
        "failures": [
            (side["label"], found) for side, found in zip(sides(result), result["failures"], strict=True) if found
        ],
        "sides": [(side, date(side["facts"].get("created"))) for side in sides(result)],
        "main": result["main"],
    }
    return page("comparison.html.j2", context)


class _Clips:
    """Reads clips, each relative to its own run's folder; the room is shared evenly."""

    def __init__(self, folders: Sequence[Path | None], page_dir: Path) -> None:
        share = BUDGET // max(1, sum(folder is not None for folder in folders))
        self._readers = [folder and ClipReader(folder, share) for folder in folders]
        self._prefixes = [folder and quote(os.path.relpath(folder, page_dir)) for folder in folders]

    def any(self, side: int) -> bool:
        return self._readers[side] is not None

    def read(self, side: int, row: Mapping[str, Any]) -> Clip:
        reader, prefix = self._readers[side], self._prefixes[side]
        if not reader:
            return Clip(problem="A table of scores has no audio.")
        clip = reader.read(row)
        return replace(clip, link=f"{prefix}/{clip.link}") if clip.link else clip


def _part(result: Mapping[str, Any], other: int, clips: _Clips) -> Part:
    lines = side_lines(result, other)
    side = result["others"][other]
    return Part(
        label=side["label"],
        incomparable=side["incomparable"],
        verdicts=tuple(
            (answer, found) for answer in ANSWERS if (found := tuple(one for one in lines if one.answer == answer))
        ),
        lines=tuple((line, _chart(result, line.column, other)) for line in lines),
        changed=tuple(_changed(result, other, clips)),
        tags=tuple(_tags(result, other)),
    )


def _chart(result: Mapping[str, Any], name: str, other: int) -> Markup | None:
    """The difference with its interval in units of the margin, better to the right; the margin is a band.

    None for a column without a direction or a margin.
    """
    column = result["columns"][name]
    side, margin = column["sides"][other], column["margin"]
    if column["better"] == "neither" or not is_number(margin):
        return None
    sign = 1 if column["better"] == "higher" else -1
    middle, half = _CHART_WIDTH / 2, _CHART_HEIGHT / 2

    def x(value: float) -> float:
        return middle + max(-_WIDEST, min(_WIDEST, sign * value / margin)) / _WIDEST * (middle - 8)

    band = Markup('<rect class="margin" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>')
    parts = [band.format(min(x(-margin), x(margin)), abs(x(margin) - x(-margin)), _CHART_HEIGHT)]
    parts += [_line("zero", middle, 0, middle, _CHART_HEIGHT)]
    if side["ci95"]:
        low, high = sorted(x(end) for end in side["ci95"])
        parts += [_line("whisker", low, half, max(high, low + 1), half)]
    place = x(side["difference"])
    if abs(side["difference"]) > _WIDEST * margin:
        way = 1 if place > middle else -1
        points = f"{place + 6 * way:.1f},{half:g} {place - 3 * way:.1f},{half - 5:g} {place - 3 * way:.1f},{half + 5:g}"
        parts += [Markup('<polygon class="dot {}" points="{}"/>').format(_tone(side), points)]
    else:
        parts += [Markup('<circle class="dot {}" cx="{:.1f}" cy="{}" r="4"/>').format(_tone(side), place, half)]
    label = f"{name}: {side['difference'] / margin:+.1f} margins, {side['answer']}"
    return _svg("difference", _CHART_WIDTH, _CHART_HEIGHT, label, parts)


def _tone(side: Mapping[str, Any]) -> str:
    return str(side["answer"]).replace(" ", "-")


def _changed(result: Mapping[str, Any], other: int, clips: _Clips) -> list[Changed]:
    most = _ITEMS.get(len(result["others"]), _ITEMS_OF_MANY)
    shown: set[str] = set()
    lists = []
    for name in result["main"]:
        column = result["columns"][name]
        found = [one for one in result["changed"] if one["other"] == other and one["column"] == name][:most]
        entries = []
        for one in found:
            anchor = f"c{other}-{one['item']}".replace(" ", "_")
            difference = signed(one["difference"], decimals(column))
            heard = clips.any(0) or clips.any(other + 1)
            card = _card(result, one, anchor, difference, clips) if heard and anchor not in shown else None
            shown.add(anchor)
            both = " → ".join(number(one[side]["value"], decimals(column)) for side in ("theirs", "ours"))
            entries.append(Entry(one["item"], anchor, both, difference, card, heard))
        lists.append(Changed(name, DIRECTION[column["better"]], tuple(entries)))
    return lists


def _card(result: Mapping[str, Any], one: Mapping[str, Any], anchor: str, difference: str, clips: _Clips) -> Card:
    digits = decimals(result["columns"][one["column"]])
    both = ((0, result["baseline"], one["theirs"]), (one["other"] + 1, result["others"][one["other"]], one["ours"]))
    sounds = tuple(
        Sound(side["label"], number(row["value"], digits), row, clips.read(place, row), _diff(row))
        for place, side, row in both
    )
    return Card(anchor, one["item"], one["text"] or "", difference, tuple(one["ours"]["tags"] or ()), sounds)


def _diff(row: Mapping[str, Any]) -> tuple[Piece, ...] | None:
    expected = row["spoken"] or row["text"]
    return tuple(word_diff(expected, row["heard"])) if expected and row["heard"] is not None else None


def _tags(result: Mapping[str, Any], other: int) -> list[TagRow]:
    lines = {(line.tag, line.column): line for line in tag_lines(result, other, result["main"])}
    scales = {name: _scale(result, other, name) for name in result["main"]}
    rows = []
    for tag in sorted({tag for tag, _ in lines}, key=lambda tag: (tag.partition(":")[0] if ":" in tag else "tag", tag)):
        cells = []
        for column in result["main"]:
            line = lines.get((tag, column))
            side = result["tags"][tag][column][other] if line else None
            chart = dot_and_interval(side["difference"], side["ci95"], scales[column], 0.0) if side else None
            cells.append((line, chart) if line and chart is not None else None)
        group, _, name = tag.partition(":") if ":" in tag else ("tag", "", tag)
        rows.append(TagRow(group, name, tuple(cells)))
    return rows


def _scale(result: Mapping[str, Any], other: int, name: str) -> tuple[float, float]:
    """Even on both sides of 0, so that 0 stands in the middle; intervals of a few items would make the rest tiny."""
    ends = [0.0]
    for columns in result["tags"].values():
        side = (columns.get(name) or {other: None})[other]
        if side:
            ends += [side["difference"], *(side["ci95"] or () if side["pairs"] >= _TO_SCALE else ())]
    furthest = max(map(abs, ends))
    return (-furthest, furthest)
