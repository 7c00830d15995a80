"""Reference clips ranked for cloning: the page, and the table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reports.inspection_text import printable
from reports.pages import page, style
from reports.values import date, number

if TYPE_CHECKING:
    from rich.console import RenderableType

# Column, heading, digits.
SHOWN = (
    ("dnsmos_ovrl", "DNS-MOS", 2),
    ("wada_snr_db", "SNR, dB", 1),
    ("duration_s", "seconds", 1),
    ("bandwidth_hz", "band, Hz", 0),
    ("speaker_similarity", "like the others", 2),
)


def render_references(result: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """A self-contained page. result: what references.json holds; links: clip -> address relative to the page."""
    context = {
        "style": style("report.css"),
        "own_style": style("selection.css"),
        "result": result,
        "created": date(result["created"]),
        "headings": [heading for _, heading, _ in SHOWN],
        "table": [(clip, _numbers(clip)) for clip in result["clips"]],
        "links": links,
        "limits": result["limits"],
    }
    return page("references.html.j2", context)


def terminal_references(result: Mapping[str, Any]) -> list[RenderableType]:
    """What rich prints: the advice, then a line per clip."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, heading in enumerate(["", "clip", "", *(heading for _, heading, _ in SHOWN), "why"]):
        table.add_column(heading, justify="right" if 3 <= place < 3 + len(SHOWN) else "left", overflow="fold")
    for clip in result["clips"]:
        why = "; ".join(f["says"] + (" (serious)" if f["weight"] == "serious" else "") for f in clip["faults"])
        cells = [str(clip["rank"]), clip["name"], clip["verdict"], *_numbers(clip), why]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    advice = [Text(printable(said), style="" if place else "bold") for place, said in enumerate(result["advice"])]
    return [*advice, table, *(Text(printable(notice), style="dim") for notice in result["notices"])]


def _numbers(clip: Mapping[str, Any]) -> list[str]:
    return [number(clip["values"][column], digits) for column, _, digits in SHOWN]
