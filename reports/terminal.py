"""What `run` and `score` print at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.lines import Line, coverage_sentence, judge_notices, summary_lines
from reports.values import MISSING

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLE = {"better": "green", "worse": "bold red", "changed": "yellow"}
_WORST = 3


def terminal_table(summary: Mapping[str, Any]) -> Group:
    """The table of every column, the comparison with the baseline, coverage, and what bundled judges are not good for.

    Print it with `rich.console.Console().print(...)`. Absent columns keep their line, which says why.
    """
    from rich.console import Group

    lines = summary_lines(summary)
    parts: list[RenderableType] = [_columns(summary, lines)]
    if summary.get("baseline"):
        parts.append(_comparison(summary["baseline"], lines))
    parts += _notices(summary)
    parts.append(_coverage(summary))
    return Group(*parts)


def _columns(summary: Mapping[str, Any], lines: list[Line]) -> Table:
    table = _table(f"{summary.get('model') or summary['run']} on {summary.get('suite') or 'existing audio'}")
    table.add_column("column", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True, style="dim")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("worst utterances, or why not", overflow="fold", ratio=1)
    for line in lines:
        if line.absent is not None:
            cells = [line.name, MISSING, "", "", "", f"absent: {line.absent}"]
            _add(table, cells, "yellow")
        else:
            n = f"{line.n} ({line.missing} missing)" if line.missing else line.n
            worst = "pooled over all utterances" if line.pooled else ", ".join(line.worst[:_WORST])
            _add(table, [line.name, line.mean, line.unit, line.interval, n, worst])
    return table


def _comparison(baseline: Mapping[str, Any], lines: list[Line]) -> Table:
    table = _table(f"Paired difference to the baseline {baseline['model']} ({baseline['run']})")
    table.add_column("column", no_wrap=True)
    for heading in ("baseline", "this run", "difference", "95 % interval", "pairs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        found = line.difference
        if found:
            numbers = [found.baseline_mean, found.mean, found.value, found.interval, str(found.pairs)]
            _add(table, [line.name, *numbers, found.judgement], _STYLE.get(found.judgement, ""))
    return table


def _notices(summary: Mapping[str, Any]) -> list[RenderableType]:
    from rich.panel import Panel
    from rich.text import Text

    notices = judge_notices(summary)
    if not notices:
        return []
    text = Text("\n").join(Text.assemble((f"{metric}: ", "bold"), notice) for metric, notice in notices)
    return [Panel(text, title=Text("BUNDLED JUDGES"), title_align="left", border_style="yellow")]


def _coverage(summary: Mapping[str, Any]) -> Text:
    from rich.text import Text

    style = "green" if summary["coverage"]["ok"] == summary["coverage"]["planned"] else "bold red"
    return Text(f"Coverage: {coverage_sentence(summary)}", style=style)


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _add(table: Table, cells: list[str], style: str = "") -> None:
    """As plain text: brackets in names and reasons are not markup."""
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells), style=style)
