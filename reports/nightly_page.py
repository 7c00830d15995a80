"""The index of the nights, and the report of one of them. Links are relative: the folder can be published as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from reports.nightly_parts import badge, blocking, changed, compared_with, counts, figures, tone
from reports.pages import page, style
from reports.values import date, percent

_PARTS = {
    "badge": badge,
    "blocking": blocking,
    "changed": changed,
    "compared_with": compared_with,
    "counts": counts,
    "figures": figures,
    "percent": percent,
    "quote": quote,
    "tone": tone,
}


def render_index(site: Mapping[str, Any]) -> str:
    """Where every model stands, new failures first, and the list of nights.

    site: title; night: the newest; cards: its jobs in order, each with status, new and the points of its trends;
    nights: newest first, each with began, jobs, failed and blocked; older: nights that are not listed.
    """
    context = {
        **site,
        "style": style("report.css", "nightly.css"),
        "date": date,
        "news": [job for job in site["cards"] if job["new"]],
        **_PARTS,
    }
    return page("nightly_index.html.j2", context)


def render_night(night: Mapping[str, Any]) -> str:
    """One night. night: as it is stored, with `cards`: its jobs in order, each with status and new."""
    context = {
        "night": night,
        "cards": night["cards"],
        "news": [job for job in night["cards"] if job["new"]],
        "style": style("report.css", "nightly.css"),
        "began": date(night["started"]),
        "took": duration(night["started"], night["ended"]),
        "judges": judges(night["cards"]),
        **_PARTS,
    }
    return page("nightly_night.html.j2", context)


def duration(started: object, ended: object) -> str | None:
    """`2 h 5 min`; None for a night that is not over."""
    try:
        seconds = (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(started))).total_seconds()
    except ValueError:
        return None
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def judges(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What judges have to say of themselves, once however many jobs they judged."""
    found: dict[str, str] = {}
    for job in jobs:
        found |= {name: notice for name, notice in (job.get("judges") or {}).items() if name not in found}
    return [notice if notice.startswith(name) else f"{name}: {notice}" for name, notice in sorted(found.items())]
