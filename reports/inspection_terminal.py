"""What `evalkit inspect` prints: what each checkpoint is, how the vectors lie, and what that means for a merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reports.heatmap import CAPTION, heat_map, terminal_heatmaps
from reports.inspection_tables import TextTable, pair_table, section_table, summary_table, vector_table
from reports.inspection_text import facts, judgements, printable

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

FOLDED_FROM = 40  # layers: more are shown as sections unless all are asked for
_STYLE = {"ok": "green", "caution": "yellow", "problem": "bold red"}


def terminal_inspection(found: Mapping[str, Any], width: int, layers: str = "auto") -> Group:
    """Tables and judgements. found: what `evalkit inspect --json` prints; layers: "all", "sections" or "auto"."""
    from rich.console import Group

    checkpoints, vectors = found["checkpoints"], found["vectors"]
    if vectors is None:
        lines = TextTable(checkpoints[0]["name"], ("", ""), tuple(facts(checkpoints[0])))
        parts: list[RenderableType] = [_rich(lines), "", _rich(section_table(checkpoints[0])), ""]
        return Group(*parts, *_judgements(judgements(found)))
    parts = [_rich(summary_table(checkpoints)), "", _rich(vector_table(vectors)), ""]
    if vectors["overall"]["pairs"]:
        parts += [_rich(pair_table(vectors)), ""]
    by_section = heat_map(vectors, [vectors["overall"], *vectors["sections"]])
    parts += [CAPTION[vectors["base"] is not None], "", *terminal_heatmaps("By section", by_section, width), ""]
    if layers == "all" or (layers == "auto" and len(vectors["layers"]) <= FOLDED_FROM):
        parts += [*terminal_heatmaps("By layer", heat_map(vectors, vectors["layers"]), width), ""]
    elif layers == "auto":
        parts += [f"{len(vectors['layers'])} layers are folded into sections; --layers all shows them.", ""]
    return Group(*parts, *_judgements(judgements(found)))


def _judgements(found: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    from rich.text import Text

    return [
        Text.assemble((f"{said['level']:<8}", _STYLE[said["level"]]), f" {said['topic']}: {printable(said['says'])}")
        for said in found
    ]


def _rich(lines: TextTable) -> Table:
    """Text is never read as markup, and holds no control characters."""
    from rich.table import Table
    from rich.text import Text

    title = Text(printable(lines.title))
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=any(lines.headings))
    for heading in lines.headings:
        table.add_column(heading, justify="right" if heading in lines.numeric else "left", overflow="fold")
    for row in lines.rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
