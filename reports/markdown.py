"""A short summary for the page of a CI job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.latency import HEADINGS, latency
from reports.lines import (
    Line,
    comparison_sentences,
    coverage_sentence,
    judge_notices,
    reference_sentence,
    summary_lines,
)


def render_markdown(summary: Mapping[str, Any]) -> str:
    """Heading, coverage, notices and the summary table, with the differences to the baseline if there is one."""
    baseline = summary.get("baseline")
    lines = summary_lines(summary)
    parts = [f"## {_cell(summary.get('model') or summary['run'])} on {_cell(summary.get('suite') or 'existing audio')}"]
    if isinstance(summary.get("verdict"), str):
        parts.append(f"**Verdict: {_cell(summary['verdict'])}**")
    parts.append(f"Coverage: {_cell(coverage_sentence(summary))}.")
    parts += [f"> **{_cell(metric)}**{_cell(notice)}" for metric, notice in judge_notices(summary)]
    if baseline:
        parts.append(f"Baseline: {_cell(baseline['model'])} ({_cell(baseline['run'])})")
    head = ["column", "mean", "95 % interval", "n", *(["difference", "95 % interval", ""] if baseline else [])]
    measured = [line for line in lines if line.absent is None]
    parts.append(_table(head, [_row(line, bool(baseline)) for line in measured]))
    parts += [_cell(sentence) for sentence in comparison_sentences(summary, lines)]
    if timed := latency(summary):
        parts += [f"**{_cell(timed.title)}**", _table(HEADINGS, [[f"`{row[0]}`", *row[1:]] for row in timed.rows])]
        parts += [_cell(timed.conditions), *(f"> {_cell(warning)}" for warning in timed.warnings)]
    if among := reference_sentence(summary):
        parts.append(f"{among}.")
    absent = [line for line in lines if line.absent is not None]
    if absent:
        parts.append("\n".join(f"- `{line.name}` is absent: {_cell(line.absent)}" for line in absent))
    return "\n\n".join(parts) + "\n"


def _row(line: Line, compared: bool) -> list[str]:
    row = [
        f"`{line.name}`{' (unreliable)' if line.unreliable else ''}",
        f"{line.mean} {line.unit}".strip(),
        line.interval,
        line.n,
    ]
    if compared:
        found = line.difference
        row += [found.value, found.interval, found.judgement] if found else ["", "", ""]
    return row


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def _cell(text: object) -> str:
    """Text that can neither break a table nor become markup."""
    flat = " ".join(str(text).split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
