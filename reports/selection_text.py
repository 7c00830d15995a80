"""A selection in a terminal: the advice, then a line per checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.inspection_text import printable
from reports.selection_lines import lines

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal_selection(result: Mapping[str, Any]) -> list[RenderableType]:
    """What rich prints, one after another."""
    from rich.table import Table
    from rich.text import Text

    primary = result["primary"]
    unit = f", {primary['unit']}" if primary["unit"] else ""
    title = f"{len(result['checkpoints'])} checkpoints on {result['suite']['name']}, {result['items']} items"
    table = Table(title=Text(printable(title)), title_justify="left", box=None, padding=(0, 2, 0, 0))
    headings = ["", "checkpoint", "step", primary["column"] + unit, "95 % interval", "to the best", ""]
    headings += [column["column"] for column in result["columns"][1:]] + [one["name"] for one in result["losses"]]
    numeric = {2, 3, 4, 5, *range(7, len(headings))}
    for place, heading in enumerate([*headings, ""]):
        table.add_column(Text(printable(heading)), justify="right" if place in numeric else "left", overflow="fold")
    for line in lines(result):
        cells = [line.rank, line.name, line.step, line.primary, line.bounds, line.difference, line.answer]
        style = "bold" if line.chosen else "dim" if line.state in ("failed", "blocked", "stopped") else ""
        says = "chosen" if line.chosen else line.says
        table.add_row(*(Text(printable(cell), style=style) for cell in (*cells, *line.others, *line.losses, says)))
    advice = [
        Text(printable(sentence), style="bold" if number == 0 else "")
        for number, sentence in enumerate(result["advice"])
    ]
    divergence = result["divergence"]
    found = f"{divergence['says']} {divergence['sure'] or ''}".strip()
    said = Text(printable(f"Divergence of loss and quality: {found}"))
    notices = [Text(printable(notice), style="dim") for notice in result["notices"]]
    return [*advice, said, table, *notices]
