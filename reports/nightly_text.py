"""A night for the page of a CI job, and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.gate_text import render_gate_markdown
from reports.markdown import _cell, _table
from reports.nightly_parts import badge, blocking, counts, figures, tone

if TYPE_CHECKING:
    from rich.console import Group

_STYLE = {"bad": "bold red", "warn": "yellow", "good": "green"}


def render_night_markdown(night: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Heading, a line per job, what is new, and the verdicts that need a look.

    night: with `cards`, its jobs in order; results: the gate's, of every job.
    """
    cards = night["cards"]
    parts = [f"# {_cell(night['title'])}, night {_cell(night['night'])}: {counts(cards)}"]
    head = ["model", "suite", "verdict", "why", "changed since the baseline"]
    rows = [
        [_cell(job["label"]), _cell(job["suite"]), badge(job), _cell(why(job)), _cell(changes(job))] for job in cards
    ]
    parts.append(_table(head, rows))
    parts += [f"> {_cell(notice)}" for notice in night["notices"]]
    stopped = [result for result in results if result["verdict"] == "blocked"]
    if stopped:
        parts.append(render_gate_markdown(stopped))
    return "\n\n".join(parts) + "\n"


def night_table(night: Mapping[str, Any]) -> Group:
    """A line per job, blocked ones first. night: with `cards`, its jobs in order."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    cards = night["cards"]
    title = Text(f"{night['title']}, night {night['night']}: {counts(cards)}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("model", "suite", "verdict"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold")
    for job in cards:
        cells = (job["label"], job["suite"], badge(job), why(job) or changes(job))
        table.add_row(*map(Text, cells), style=_STYLE[tone(job)])
    return Group(table, *(Text(notice, style="yellow") for notice in night["notices"]))


def why(job: Mapping[str, Any]) -> str:
    """What stops a job, in a few words; empty where nothing does."""
    stops = [f"{rule['name']}{_items(rule)}" for rule in blocking(job)]
    said = job.get("reason") or job.get("problem") or "; ".join(stops) or job.get("short")
    return str(said or "")


def changes(job: Mapping[str, Any]) -> str:
    """Main columns that are better or worse than the baseline's; for an unchanged run, since when."""
    found = [
        f"{one.name} {one.baseline.word} ({one.baseline.value})"
        for one in figures(job, True)
        if one.baseline and one.baseline.kind in ("better", "worse")
    ]
    since = f"unchanged since {job['unchanged_since']}" if job.get("unchanged_since") else ""
    return "; ".join([*found, *([since] if since else [])])


def _items(rule: Mapping[str, Any]) -> str:
    return f" ({', '.join(rule['items'])})" if rule["items"] else ""
