"""Layers by figures as coloured cells that also print their number, in a terminal or on a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reports.inspection_text import printable
from reports.values import MISSING, is_number, number, signed

if TYPE_CHECKING:
    from rich.table import Table

Tone = Literal["warm", "cool", "none"]

# By whether there is a base.
CAPTION = {
    True: "norm: length of the task vector divided by the base's. cosine: between two task vectors, 0 for independent "
    "ones. conflict: share of opposite signs, weighted by size, 0.50 for independent ones.",
    False: "cosine: between the weights themselves. distance: length of their difference divided by their own; "
    "unrelated weights are 1 or more apart.",
}
_WARM, _COOL, _PLAIN = (214, 69, 56), (66, 122, 214), (255, 255, 255)
_NAME_WIDTH = 34
_GAP = 1
_NARROWEST, _WIDEST = 6, 12  # characters of a cell; a longer heading is folded


@dataclass(frozen=True)
class Cell:
    """text: the number; tone and strength (0 to 1): its colour, warm for what hurts a merge."""

    text: str
    tone: Tone
    strength: float


@dataclass(frozen=True)
class HeatMap:
    """headings: one per column, each a few printable lines; rows: name, parameters, a cell per column."""

    headings: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, int, tuple[Cell, ...]], ...]


def heat_map(vectors: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> HeatMap:
    """A row per group: each model's relative norm, then each pair's cosine and weighted sign conflict.

    vectors: the comparison as `evalkit inspect --json` prints it; groups: its layers or sections. Without a base, each
    pair's cosine and distance.
    """
    first = groups[0] if groups else vectors["overall"]
    pairs = [(pair["first"], pair["second"]) for pair in first["pairs"]]
    headings: list[tuple[str, ...]]
    if vectors["base"] is None:
        headings = [(name, *pair) for pair in pairs for name in ("cosine", "distance")]
    else:
        headings = [("norm", model) for model in vectors["models"]]
        headings += [(name, *pair) for pair in pairs for name in ("cosine", "conflict")]
    rows = tuple(
        (printable(group["name"]), group["parameters"], tuple(_cells(group, vectors["base"]))) for group in groups
    )
    return HeatMap(tuple(tuple(map(printable, lines)) for lines in headings), rows)


def _cells(group: Mapping[str, Any], base: str | None) -> Iterable[Cell]:
    if base is not None:
        yield from (_size(vector["relative_norm"]) for vector in group["vectors"])
    for pair in group["pairs"]:
        yield _cosine(pair["cosine"])
        yield _size(pair["distance"]) if base is None else _conflict(pair["weighted_conflict"])


def _size(value: object) -> Cell:
    """A relative norm: full colour at 1, where weights are unrelated; by its root, so that 0.2 can be seen."""
    if not is_number(value):
        return Cell(MISSING, "none", 0.0)
    return Cell(number(value, 3) if value < 10 else f"{value:.3g}", "warm", min(1.0, math.sqrt(value)))


def _cosine(value: object) -> Cell:
    if not is_number(value):
        return Cell(MISSING, "none", 0.0)
    return Cell(signed(value, 2), "warm" if value < 0 else "cool", min(1.0, abs(value)))


def _conflict(value: object) -> Cell:
    """Independent vectors have 0.5, which is plain."""
    if not is_number(value):
        return Cell(MISSING, "none", 0.0)
    return Cell(number(value, 2), "warm" if value > 0.5 else "cool", min(1.0, abs(value - 0.5) * 2))


def terminal_heatmaps(title: str, heat: HeatMap, width: int) -> list[Table]:
    """The map as tables no wider than `width` characters: columns that do not fit go into a further table."""
    widths = [min(_WIDEST, max(_NARROWEST, *(len(line) for line in lines))) for lines in heat.headings]
    tables: list[Table] = []
    for columns in _that_fit(widths, width - _NAME_WIDTH - _GAP - len("parameters") - _GAP):
        tables.append(_table(title if not tables else "", heat, columns, widths))
    return tables


def _that_fit(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns in as many groups as it takes; none is empty."""
    groups: list[list[int]] = [[]]
    left = room
    for column, width in enumerate(widths):
        if groups[-1] and width + _GAP > left:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= width + _GAP
    return groups


def _table(title: str, heat: HeatMap, columns: Sequence[int], widths: Sequence[int]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=None, padding=(0, _GAP, 0, 0))
    table.add_column("", min_width=_NAME_WIDTH // 2, max_width=_NAME_WIDTH, overflow="fold")
    table.add_column("parameters", justify="right")
    for column in columns:
        heading = Text("\n".join(heat.headings[column]))
        table.add_column(heading, justify="right", width=widths[column], overflow="fold")
    for name, parameters, cells in heat.rows:
        shown = (Text(cells[column].text.rjust(widths[column]), style=_style(cells[column])) for column in columns)
        table.add_row(Text(name), f"{parameters:,}", *shown)
    return table


def _style(cell: Cell) -> str:
    """Black on a tint of the tone: readable on light and dark terminals."""
    if cell.tone == "none":
        return "dim"
    full = _WARM if cell.tone == "warm" else _COOL
    tint = (round(plain + (end - plain) * cell.strength * 0.8) for plain, end in zip(_PLAIN, full, strict=True))
    return f"black on rgb({','.join(map(str, tint))})"
