"""A comparison in words and numbers, written once for the terminal, Markdown and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.columns import DIRECTION, ordered
from reports.values import MISSING, decimals, interval, is_number, number, percent, signed

ANSWERS = ("worse", "better", "changed", "equivalent", "cannot tell")
"""In the order that a reader wants them."""

_SAYS = {
    "worse": "worse in",
    "better": "better in",
    "changed": "changed in",
    "equivalent": "equivalent in",
    "cannot tell": "cannot tell in",
}
HEADINGS = ("column", "baseline", "mean", "difference", "95 % interval", "%", "p (Holm)", "d_z", "detectable", "answer")
_ROUNDING = 1e-9
_FAR = 10_000  # items: what nobody records


@dataclass(frozen=True)
class SideLine:
    """One column of one other run against the baseline, as text."""

    column: str
    description: str
    direction: str
    unit: str
    baseline_mean: str
    mean: str
    difference: str
    interval: str
    percent: str
    p: str
    effect: str
    detectable: str
    margin: str
    answer: str
    why: str
    needs: str  # what it would take to tell; empty where it is told or nothing would do
    pairs: str
    left_out: str  # items that only one side has a value of; empty where there are none

    @property
    def cells(self) -> tuple[str, ...]:
        """As in HEADINGS."""
        return (
            self.column,
            self.baseline_mean,
            self.mean,
            self.difference,
            self.interval,
            self.percent,
            self.p,
            self.effect,
            self.detectable,
            self.answer,
        )


@dataclass(frozen=True)
class TagLine:
    tag: str
    column: str
    difference: str
    interval: str
    percent: str
    pairs: int
    judgement: str  # better, worse, or empty where the interval includes 0
    apart: bool  # the interval excludes the difference of the whole run


def columns_in_order(result: Mapping[str, Any]) -> list[str]:
    """In reading order, a corpus figure right after its column."""
    names = [name for name in result["columns"] if not name.endswith("_corpus")]
    found = []
    for name in ordered(names):
        found += [one for one in (name, f"{name}_corpus") if one in result["columns"]]
    return found + [name for name in result["columns"] if name not in found]


def side_lines(result: Mapping[str, Any], other: int) -> list[SideLine]:
    """Every column that this other run shares with the baseline."""
    lines = [_line(result, name, other) for name in columns_in_order(result)]
    return [line for line in lines if line is not None]


def _line(result: Mapping[str, Any], name: str, other: int) -> SideLine | None:
    column = result["columns"][name]
    side = column["sides"][other]
    if side is None:
        return None
    digits = decimals(column)
    return SideLine(
        column=name,
        description=column["description"],
        direction=DIRECTION[column["better"]],
        unit=column["unit"],
        baseline_mean=number(side["baseline_mean"], digits),
        mean=number(side["mean"], digits),
        difference=signed(side["difference"], digits),
        interval=interval(side["ci95"], digits, sign=True),
        percent=signed_percent(side["percent"]),
        p=p_value(side["p_holm"] if column["better"] != "neither" else side["p"]),
        effect=signed(side["effect"], 2),
        detectable=number(side["detectable"], digits),
        margin=f"{column['margin']:g}" if is_number(column["margin"]) else MISSING,
        answer=side["answer"],
        why=side["why"],
        needs=needs(side),
        pairs=f"{side['pairs']} items" + (f" of {side['units']} speakers" if side["unit"] == "speaker" else ""),
        left_out=f"{side['unpaired']} item{'s' if side['unpaired'] != 1 else ''} left out" if side["unpaired"] else "",
    )


def needs(side: Mapping[str, Any]) -> str:
    """What would make it tell: ``48 more items, or 3 more repeats of each, would tell.``"""
    items, repeats = side["more_items"], side["more_repeats"]
    if side["answer"] != "cannot tell":
        return ""
    if items is None:
        more = "more speakers" if side["unit"] == "speaker" else "more items"
        return f"It would take {more}; how many cannot be said."
    if items > _FAR:
        return f"It would take more than {_FAR:,} further items."
    said = f"{items:,} more item{'s' if items != 1 else ''}"
    if repeats:
        said += f", or {repeats} more repeat{'s' if repeats != 1 else ''} of each,"
    return f"{said} would probably tell."


def verdict_sentences(result: Mapping[str, Any]) -> list[str]:
    """Per other run, what is worse, better, equivalent and not known, the columns that matter with their difference."""
    return [_sentence(result, index) for index in range(len(result["others"]))]


def _sentence(result: Mapping[str, Any], other: int) -> str:
    side, baseline = result["others"][other], result["baseline"]["label"]
    lines = side_lines(result, other)
    parts = []
    for answer in ANSWERS:
        found = [line for line in lines if line.answer == answer]
        if found:
            parts.append(f"{_SAYS[answer]} {', '.join(_told(line) for line in found)}")
    start = f"NOT COMPARABLE ({side['incomparable']}): " if side["incomparable"] else ""
    return f"{start}{side['label']} against {baseline}: {'; '.join(parts) or 'nothing to compare'}."


def _told(line: SideLine) -> str:
    known = [text for text in (line.difference if line.answer != "equivalent" else "", line.left_out) if text]
    return f"{line.column} ({', '.join(known)})" if known else line.column


def coverage_lines(result: Mapping[str, Any]) -> list[str]:
    """Per side, the baseline first: ``merged.pth: 23 of 24 utterances are fine (95.8 %); silent 1``."""
    lines = []
    for side, found in zip(sides(result), result["coverage"], strict=True):
        others = {status: count for status, count in found["by_status"].items() if status != "ok" and count}
        text = f"{side['label']}: {found['ok']} of {found['planned']} utterances are fine ({percent(found['share'])})"
        lines.append("; ".join([text, *(f"{status} {count}" for status, count in sorted(others.items()))]))
    return lines


def sides(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The baseline and the others."""
    return [result["baseline"], *result["others"]]


def tag_lines(result: Mapping[str, Any], other: int, columns: Sequence[str]) -> list[TagLine]:
    """Every tag and column that both have, tags in order of their names."""
    lines = []
    for tag, found in result["tags"].items():
        for name in columns:
            side = (found.get(name) or [None] * (other + 1))[other]
            if side is not None:
                whole = result["columns"][name]["sides"][other]["difference"]
                lines.append(_tag_line(tag, name, side, result["columns"][name], whole))
    return lines


def _tag_line(tag: str, name: str, side: Mapping[str, Any], column: Mapping[str, Any], whole: float) -> TagLine:
    digits, bounds = decimals(column), side["ci95"]
    judged = ""
    if bounds and (bounds[0] > 0 or bounds[1] < 0):
        judged = "better" if (bounds[0] > 0) == (column["better"] == "higher") else "worse"
    return TagLine(
        tag,
        name,
        signed(side["difference"], digits),
        interval(bounds, digits, sign=True),
        signed_percent(side["percent"]),
        side["pairs"],
        judged,
        bool(bounds) and not bounds[0] - _ROUNDING <= whole <= bounds[1] + _ROUNDING,
    )


def group_table(result: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows: a row per group and main column, per side its mean and variance over the members."""
    names = [side["label"] for side in sides(result)]
    headings = ("group", "column", *(text for name in names for text in (name, "variance")))
    rows = []
    for group, columns in result["groups"].items():
        for name in result["main"] or list(columns):
            found = columns.get(name)
            if found is None or not any(found):
                continue
            digits = decimals(result["columns"][name])
            cells: list[str] = []
            for figures in found:
                cells += (
                    [number(figures["mean"], max(3, digits)), small(figures["variance"])] if figures else [MISSING] * 2
                )
            rows.append((group, name, *cells))
    return headings, rows


def p_value(p: object) -> str:
    if not is_number(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def signed_percent(value: object) -> str:
    """As papers print it: ``+11.8 %``."""
    return MISSING if not is_number(value) else f"{signed(value, 1)} %"


def small(value: object) -> str:
    """A variance: three digits, more where it is smaller than they can show."""
    return MISSING if not is_number(value) else number(value, 3) if value >= 0.0005 or value == 0 else f"{value:.2g}"
