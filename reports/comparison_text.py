"""A comparison in the terminal, and as Markdown for the page of a CI job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.comparison_lines import (
    HEADINGS,
    coverage_lines,
    group_table,
    side_lines,
    tag_lines,
    verdict_sentences,
)
from reports.markdown import _cell, _table

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

STYLE = {"better": "green", "worse": "bold red", "changed": "yellow", "cannot tell": "dim"}
_TEXT = frozenset({"column", "answer", "group", "tag"})


def comparison_terminal(result: Mapping[str, Any]) -> Group:
    """Coverage, then per other run its table, what it would take to tell, tags that differ; groups and notices last."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    short = result["coverage"][1:] and any(side["share"] < 1 for side in result["coverage"])
    parts: list[RenderableType] = [Text(line, style="bold red" if short else "") for line in coverage_lines(result)]
    for index, side in enumerate(result["others"]):
        parts.append("")
        if side["incomparable"]:
            warning = Text(f"{side['incomparable']}; compared nevertheless, because --force was given.")
            parts.append(Panel(warning, title="NOT COMPARABLE", title_align="left", border_style="red"))
        parts += [_columns(result, index), *_needs(result, index), *_tags(result, index)]
    if result["groups"]:
        headings, rows = group_table(result)
        parts += ["", _plain("Groups: mean and variance over their members", headings, rows)]
    if result["notices"]:
        notices = Text("\n".join(result["notices"]))
        parts += ["", Panel(notices, title="TO KNOW", title_align="left", border_style="yellow")]
    return Group(*parts, "", *(Text(sentence) for sentence in verdict_sentences(result)))


def _columns(result: Mapping[str, Any], other: int) -> Table:
    side, baseline = result["others"][other], result["baseline"]
    mark = "NOT COMPARABLE: " if side["incomparable"] else ""
    pairs = sorted({line.pairs for line in side_lines(result, other)})
    title = f"{mark}{side['label']} against {baseline['label']}, paired by item ({', '.join(pairs)})"
    lines = side_lines(result, other)
    return _plain(title, HEADINGS, [line.cells for line in lines], [STYLE.get(line.answer, "") for line in lines])


def _needs(result: Mapping[str, Any], other: int) -> list[RenderableType]:
    from rich.text import Text

    unsure = [line for line in side_lines(result, other) if line.answer == "cannot tell"]
    return [Text.assemble((line.column, "bold"), f": {line.why} {line.needs}") for line in unsure]


def _tags(result: Mapping[str, Any], other: int) -> list[RenderableType]:
    """Only those that are unlike the whole run; the page has all of them."""
    found = [line for line in tag_lines(result, other, result["main"]) if line.apart]
    if not found:
        return []
    rows = [(line.tag, line.column, line.difference, line.interval, f"{line.pairs}", line.judgement) for line in found]
    headings = ("tag", "column", "difference", "95 % interval", "items", "")
    title = "Tags whose interval excludes the difference of the whole run (about one in twenty does by chance)"
    return ["", _plain(title, headings, rows, [STYLE.get(line.judgement, "") for line in found])]


def _plain(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] | None = None
) -> Table:
    """Text is never read as markup; only the first column may be folded."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    for place, heading in enumerate(headings):
        left = heading in _TEXT
        table.add_column(
            Text(heading), justify="left" if left else "right", no_wrap=place > 0, overflow="fold", min_width=8
        )
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def render_comparison_markdown(result: Mapping[str, Any]) -> str:
    """Verdict sentences, coverage, a table per other run, what it would take to tell, groups and notices."""
    labels = ", ".join(side["label"] for side in result["others"])
    parts = [f"## {_cell(labels)} against {_cell(result['baseline']['label'])}"]
    parts += [f"**{_cell(sentence)}**" for sentence in verdict_sentences(result)]
    parts.append("\n".join(f"- {_cell(line)}" for line in coverage_lines(result)))
    for index, side in enumerate(result["others"]):
        mark = f" – NOT COMPARABLE: {_cell(side['incomparable'])}" if side["incomparable"] else ""
        lines = side_lines(result, index)
        parts.append(f"### {_cell(side['label'])}{mark}")
        parts.append(_table(HEADINGS, [[f"`{row[0]}`", *row[1:]] for row in (line.cells for line in lines)]))
        unsure = [line for line in lines if line.answer == "cannot tell"]
        if unsure:
            parts.append("\n".join(f"- `{line.column}`: {_cell(f'{line.why} {line.needs}')}" for line in unsure))
    if result["groups"]:
        headings, rows = group_table(result)
        parts += ["### Groups", _table([_cell(text) for text in headings], [[_cell(c) for c in row] for row in rows])]
    parts += [f"> {_cell(notice)}" for notice in result["notices"]]
    return "\n\n".join(parts) + "\n"
