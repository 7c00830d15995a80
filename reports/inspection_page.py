"""The page of an inspection: what checkpoints are, how their task vectors lie, and what that means for a merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.heatmap import CAPTION, heat_map
from reports.inspection_tables import pair_table, section_table, summary_table, vector_table
from reports.inspection_text import facts, judgements, printable
from reports.pages import page, style
from reports.values import date

_LISTED = 200  # names in a list of a page: a wrong base may have thousands
_LISTS = {
    "missing": "only in the base",
    "unknown": "only in the model",
    "mismatched": "of another shape or kind",
    "integers": "integers that differ",
    "non_finite": "NaN or Inf",
}
_ORDER = ("problem", "caution", "ok")


def render_inspection(found: Mapping[str, Any]) -> str:
    """A self-contained page. found: what `evalkit inspect --json` prints."""
    checkpoints, vectors = found["checkpoints"], found["vectors"]
    context = {
        "style": style("report.css"),
        "inspection_style": style("inspection.css"),
        "title": ", ".join(map(printable, vectors["models"] if vectors else [checkpoints[0]["name"]])),
        "base": printable(vectors["base"]) if vectors and vectors["base"] else None,
        "created": date(found["created"]),
        "version": found["evalkit"],
        "judgements": _judgements(found),
        "summary": summary_table(checkpoints),
        "checkpoints": [
            {
                "name": printable(checkpoint["name"]),
                "facts": [(printable(label), printable(text)) for label, text in facts(checkpoint)],
                "sections": section_table(checkpoint),
            }
            for checkpoint in checkpoints
        ],
        "vectors": _vectors(vectors) if vectors else None,
        "caption": CAPTION[bool(vectors and vectors["base"] is not None)],
    }
    return page("inspection.html.j2", context)


def _judgements(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(level, topic, sentence), the worst first."""
    ordered = sorted(judgements(found), key=lambda said: _ORDER.index(said["level"]))
    return [(said["level"], said["topic"], printable(said["says"])) for said in ordered]


def _vectors(vectors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "table": vector_table(vectors),
        "pairs": pair_table(vectors) if vectors["overall"]["pairs"] else None,
        "maps": {
            "By section": heat_map(vectors, [vectors["overall"], *vectors["sections"]]),
            "By layer": heat_map(vectors, vectors["layers"]),
        },
        "names": [
            (printable(partner["model"]), title, _names(partner[key]))
            for partner in vectors["partners"]
            for key, title in _LISTS.items()
            if partner[key]
        ],
    }


def _names(keys: Sequence[Any]) -> list[str]:
    shown = [_name(key) for key in keys[:_LISTED]]
    return [*shown, f"and {len(keys) - _LISTED} more"] if len(keys) > _LISTED else shown


def _name(key: str | Mapping[str, Any]) -> str:
    if isinstance(key, str):
        return printable(key)
    return f"{printable(key['key'])}: base {list(key['base'])}, model {list(key['model'])}"
