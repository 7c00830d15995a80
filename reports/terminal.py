"""What `run` and `score` print at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reports.latency import HEADINGS, PERCENTILES, Latency, latency
from reports.lines import (
    Line,
    comparison_sentences,
    coverage_sentence,
    judge_notices,
    reference_sentence,
    summary_lines,
)

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLE = {"better": "green", "worse": "bold red", "changed": "yellow"}
_NUMERIC = frozenset({"mean", "95 % interval", "reference", "n", "baseline", "diff.", *PERCENTILES})
_WORST = 3


@dataclass(frozen=True)
class _Row:
    cells: tuple[str, ...]
    style: str


def terminal_table(summary: Mapping[str, Any]) -> Group:
    """The table of every column, the comparison with the baseline, coverage, and what bundled judges are not good for.

    Print it with `rich.console.Console().print(...)`. Absent columns keep their line, which says why.
    """
    from rich.console import Group
    from rich.text import Text

    lines = summary_lines(summary)
    parts: list[RenderableType] = [_columns(summary, lines), "", *_absent(lines)]
    if summary.get("baseline"):
        said = (Text(sentence) for sentence in comparison_sentences(summary, lines))
        parts += [_comparison(summary["baseline"], lines), *said, ""]
    if timed := latency(summary):
        parts += [*_latency(timed), ""]
    among = reference_sentence(summary)
    return Group(*parts, *([f"{among}."] if among else []), *_notices(summary), _coverage(summary))


def _columns(summary: Mapping[str, Any], lines: list[Line]) -> Table:
    rows = []
    for line in lines:
        n = worst = ""
        if line.absent is not None:
            worst = "absent, see below"
        elif line.pooled:
            worst = "pooled"
        else:
            n, worst = f"{line.n}/{int(line.n) + line.missing}", ", ".join(line.worst[:_WORST])
        style = "yellow" if line.absent is not None else ""
        speaker = (line.reference,) if summary.get("reference") else ()
        rows.append(_Row((line.label, line.mean, line.unit, line.interval, *speaker, n, worst), style))
    title = f"{summary.get('model') or summary['run']} on {summary.get('suite') or 'existing audio'}"
    speaker = ("reference",) if summary.get("reference") else ()  # what the reference speaker's own clips score
    return _table(title, ("column", "mean", "unit", "95 % interval", *speaker, "n", "worst"), rows)


def _comparison(baseline: Mapping[str, Any], lines: list[Line]) -> Table:
    compared = [(line.label, line.difference) for line in lines if line.difference]
    pairs = sorted({difference.pairs for _, difference in compared}) or [0]
    count = f"{pairs[0]} to {pairs[-1]}" if len(pairs) > 1 else str(pairs[0])
    rows = [
        _Row((name, found.baseline_mean, found.value, found.interval, found.judgement), _STYLE.get(found.judgement, ""))
        for name, found in compared
    ]
    title = f"Paired difference to the baseline {baseline['model']} ({baseline['run']}), {count} pairs"
    return _table(title, ("column", "baseline", "diff.", "95 % interval", ""), rows)


def _latency(timed: Latency) -> list[RenderableType]:
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = [_table(timed.title, HEADINGS, [_Row(cells, "") for cells in timed.rows])]
    parts.append(Text(timed.conditions, style="dim"))
    if timed.warnings:
        title = Text("ABOUT THE TIMINGS")
        parts.append(Panel(Text("\n".join(timed.warnings)), title=title, title_align="left", border_style="yellow"))
    return parts


def _absent(lines: list[Line]) -> list[RenderableType]:
    from rich.text import Text

    return [
        Text.assemble((f"{line.name} is absent: ", "bold"), line.absent, style="yellow")
        for line in lines
        if line.absent is not None
    ]


def _notices(summary: Mapping[str, Any]) -> list[RenderableType]:
    from rich.panel import Panel
    from rich.text import Text

    notices = judge_notices(summary)
    if not notices:
        return []
    text = Text("\n").join(Text.assemble((metric, "bold"), notice) for metric, notice in notices)
    return [Panel(text, title=Text("ABOUT THE JUDGES"), title_align="left", border_style="yellow")]


def _coverage(summary: Mapping[str, Any]) -> Text:
    from rich.text import Text

    style = "green" if summary["coverage"]["ok"] == summary["coverage"]["planned"] else "bold red"
    return Text(f"Coverage: {coverage_sentence(summary)}", style=style)


def _table(title: str, headings: Sequence[str], rows: Sequence[_Row]) -> Table:
    """A table whose last column gives way where the terminal is narrow. Text is never read as markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    for place, heading in enumerate(headings):
        last = place == len(headings) - 1
        longest = max([len(heading), *(len(row.cells[place]) for row in rows)])
        justify: Literal["left", "right"] = "right" if heading in _NUMERIC else "left"
        table.add_column(heading, justify=justify, no_wrap=not last, min_width=None if last else longest)
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row.cells), style=row.style)
    return table
