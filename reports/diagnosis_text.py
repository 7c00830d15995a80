"""A diagnosis in the terminal, and as Markdown for the page of a CI job or for notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from reports.diagnosis_lines import (
    HEADLINE,
    PUBLISHED,
    SOUND,
    Column,
    Speaker,
    amount_sentence,
    answer_sentence,
    counted,
    findings,
    how_sure,
    of,
    outcome,
    problem_sentence,
    rows,
    says,
    squeezed,
    worst_first,
)
from reports.diagnosis_made import made_lines
from reports.markdown import _cell, _table

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

STYLE = {"collapse": "bold red", "risk": "yellow", "cannot tell": "yellow", "gain": "green", "no verdict": "dim"}
_EXPLAINED = 3  # speakers whose advice is told; with more, the page has it
_TOLD = 100  # speakers with a line of their own
_PROBLEMS = {"terminal": 5, "Markdown": 20}
_NAME = 14


def diagnosis_table(diagnosis: Mapping[str, Any]) -> Group:
    """Verdict per speaker, the speakers side by side, findings and what could not be read.

    Print it with `rich.console.Console().print(...)`. Text is never read as markup.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    speakers = diagnosis["speakers"]
    explained = len(speakers) <= _EXPLAINED
    parts: list[RenderableType] = [Text(answer_sentence(speakers), style="bold"), Text(amount_sentence(diagnosis))]
    for _, speaker in worst_first(speakers)[:_TOLD]:
        parts += _verdict(speaker, explained)
    if len(speakers) > _TOLD:
        parts.append(Text(f"and {counted(len(speakers) - _TOLD)} more speakers"))
    if len(speakers) > 1 and not explained:
        parts.append(Text("The report says what to do about each speaker.", style="dim"))
    if speakers:
        parts += ["", _side_by_side("Energy and DNS-MOS of each speaker", PUBLISHED[5:], diagnosis)]
        parts += ["", _side_by_side("How much there is", (PUBLISHED[0], SOUND[0], *PUBLISHED[1:5]), diagnosis)]
        parts += ["", _side_by_side("How it sounds", SOUND[1:], diagnosis)]
    found = findings(diagnosis)
    if found:
        cells = [(one.title, one.amount, one.says) for one in found]
        parts += ["", _plain("Findings", ("finding", "how much", "what it is"), cells, left=3)]
    parts += _unreadable(diagnosis)
    if diagnosis.get("notices"):
        notices = Text("\n".join(diagnosis["notices"]))
        parts += ["", Panel(notices, title="TO KNOW", title_align="left", border_style="yellow")]
    return Group(*parts)


def _verdict(speaker: Speaker, explained: bool) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    style = STYLE[outcome(speaker)]
    said: list[RenderableType] = [
        Text.assemble((f"{speaker['name']}: ", "bold"), (HEADLINE[outcome(speaker)], style), f". {says(speaker)}")
    ]
    if not explained:
        return said
    sentences = [Text(sure, style="dim")] if (sure := how_sure(speaker)) else []
    sentences += [Text(f"→ {advice}") for advice in of(speaker, "verdict", "advice") or ()]
    return ["", *said, *(Padding(sentence, (0, 0, 0, 2)) for sentence in sentences)]


def _side_by_side(title: str, columns: Sequence[Column], diagnosis: Mapping[str, Any]) -> Table:
    headings = [
        f"{column.group}\n{column.name}" if column.group else column.name.replace(" ", "\n") for column in columns
    ]
    cells, styles = [], []
    for place, speaker in rows(diagnosis):
        cells.append((squeezed(speaker["name"], _NAME), *(column.written(speaker) for column in columns)))
        styles.append("bold" if place is None else "")
    return _plain(title, ("speaker", *headings), cells, left=1, styles=styles)


def _unreadable(diagnosis: Mapping[str, Any]) -> list[RenderableType]:
    from rich.text import Text

    said = problem_sentence(diagnosis)
    if not said:
        return []
    problems = diagnosis["data"]["problems"]
    shown = problems[: _PROBLEMS["terminal"]]
    lines: list[RenderableType] = ["", Text(said, style="bold red")]
    lines += [Text(f"  {one['id']}: {one['problem']}") for one in shown]
    if len(problems) > len(shown):
        lines.append(Text(f"  and {counted(len(problems) - len(shown))} more, all in the report", style="dim"))
    return lines


def _plain(
    title: str, headings: Sequence[str], cells: Sequence[Sequence[str]], left: int, styles: Sequence[str] | None = None
) -> Table:
    """left: how many columns are text, of which the last gives way where the terminal is narrow; numbers never do."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    vertical: Literal["top", "bottom"] = "bottom" if left == 1 else "top"  # headings of numbers have two lines
    for place, heading in enumerate(headings):
        justify: Literal["left", "right"] = "left" if place < left else "right"
        table.add_column(Text(heading), justify=justify, no_wrap=place != left - 1, overflow="fold", vertical=vertical)
    for row, style in zip(cells, styles or [""] * len(cells), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def render_diagnosis_markdown(diagnosis: Mapping[str, Any]) -> str:
    """The answer, a paragraph per speaker, the table, findings, what could not be read, and what energy means."""
    data, speakers = diagnosis["data"], diagnosis["speakers"]
    explained = len(speakers) <= _EXPLAINED
    parts = [f"## Diagnosis of {_cell(data['path'])}", f"**{_cell(answer_sentence(speakers))}**"]
    parts.append(f"{_cell(amount_sentence(diagnosis))}.")
    parts += ["\n".join(_bullets(speaker, explained)) for _, speaker in worst_first(speakers)[:_TOLD]]
    if len(speakers) > _TOLD:
        parts.append(f"and {counted(len(speakers) - _TOLD)} more speakers, in the table")
    if speakers:
        columns = (*PUBLISHED, *SOUND)
        head = ["speaker", "expected", *(f"{column.group} {column.name}".strip() for column in columns)]
        body = [
            [_cell(s["name"]), "" if place is None else HEADLINE[outcome(s)], *(_cell(c.written(s)) for c in columns)]
            for place, s in rows(diagnosis)
        ]
        parts.append(_table(head, body))
    if found := findings(diagnosis):
        parts.append("### Findings")
        parts.append("\n".join(f"- **{_cell(one.title)}**: {_cell(one.amount)}. {_cell(one.says)}" for one in found))
    if made := made_lines(diagnosis):
        parts += ["### Made of it", "\n".join(f"- {_cell(line)}" for line in made)]
    if said := problem_sentence(diagnosis):
        problems, most = data["problems"], _PROBLEMS["Markdown"]
        lines = [f"- `{_code(one['id'])}`: {_cell(one['problem'])}" for one in problems[:most]]
        lines += [f"- and {counted(len(problems) - most)} more, all in the report"] if len(problems) > most else []
        parts += ["### Unreadable clips", _cell(said), "\n".join(lines)]
    parts += [f"> {_cell(notice)}" for notice in diagnosis.get("notices") or ()]
    parts.append(f"Energy: {_cell(data['energy_definition'])}")
    return "\n\n".join(parts) + "\n"


def _bullets(speaker: Speaker, explained: bool) -> list[str]:
    """A speaker's verdict, with what to do below it where few speakers leave the room."""
    lines = [f"- **{_cell(speaker['name'])}: {HEADLINE[outcome(speaker)]}.** {_cell(says(speaker))}"]
    if explained:
        lines += [f"  {_cell(sure)}" for sure in [how_sure(speaker)] if sure]
        lines += [f"  - {_cell(advice)}" for advice in of(speaker, "verdict", "advice") or ()]
    return lines


def _code(text: object) -> str:
    return " ".join(str(text).split()).replace("`", "'")
