"""The report: one self-contained page that works from a disk, without a network, on a phone and on paper."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.charts import Bins, Marks, bin_values, histogram, spark
from reports.clips import ClipReader, audio_link
from reports.columns import main_columns, ordered
from reports.latency import HEADINGS, latency
from reports.lines import comparison_sentences, coverage_sentence, judge_notices, reference_sentence, summary_lines
from reports.pages import page, script, style
from reports.tags import tag_groups
from reports.values import MISSING, date, decimals, interval, is_number, number
from reports.worst import worst_lists

_ENVIRONMENT = ("python", "platform", "packages")  # of the manifest, shown apart


@dataclass(frozen=True)
class Distribution:
    small: Markup
    large: Markup


@dataclass(frozen=True)
class Cell:
    """One number of the full table: as shown, as sorted, and why it is missing."""

    text: str
    sort: str
    reason: str


@dataclass(frozen=True)
class TableRow:
    row: Mapping[str, Any]
    cells: tuple[Cell, ...]
    link: str | None


def render_html(
    manifest: Mapping[str, Any], summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], run_dir: Path
) -> str:
    """The page for a finished run.

    manifest, summary, rows: what `manifest.json`, `summary.json` and the lines of `utterances.jsonl` hold; run_dir: the
    folder that the rows' audio paths are relative to and that the page is to lie in. Audio is read only for the worst
    utterances, one file at a time; a file that is missing or broken is said to be so in its place.
    """
    columns, main = ordered(summary["columns"]), main_columns(summary)
    lines, worst = summary_lines(summary), worst_lists(summary, rows, main, ClipReader(run_dir))
    environment = {key: manifest[key] for key in _ENVIRONMENT if key in manifest}
    context = {
        "style": style("report.css"),
        **script("report.js"),
        "manifest": manifest,
        "summary": summary,
        "command": shlex.join(manifest.get("command") or []),
        "created": date(summary.get("created")),
        "coverage": coverage_sentence(summary),
        "failed": [row for row in rows if row["status"] != "ok"],
        "notices": judge_notices(summary),
        "lines": lines,
        "comparison": comparison_sentences(summary, lines),
        "latency": latency(summary),
        "latency_headings": HEADINGS,
        "among_references": reference_sentence(summary),
        "headline": [line for name in main for line in lines if line.name == name and not line.pooled],
        "distributions": {name: _distribution(summary, name, rows) for name in columns},
        "missing": _missing_reasons(rows, columns),
        "main": main,
        "tag_groups": tag_groups(summary, main),
        "worst_lists": worst,
        "carded": {entry.utterance: entry.anchor for ranking in worst for entry in ranking.entries},
        "columns": columns,
        "rows": [_table_row(row, summary, columns) for row in rows],
        "passports": [_passport(metric, found) for metric, found in (manifest.get("passports") or {}).items()],
        "environment": environment,
        "manifest_facts": {k: v for k, v in manifest.items() if k != "passports" and k not in environment},
    }
    return page("report.html.j2", context)


def _passport(metric: str, passport: Mapping[str, Any]) -> dict[str, Any]:
    """With the judge's own accuracy set apart."""
    rest = {key: value for key, value in passport.items() if key not in ("metric", "accuracy")}
    return {"metric": metric, "judge": passport.get("judge"), "accuracy": passport.get("accuracy"), "rest": rest}


def _distribution(summary: Mapping[str, Any], name: str, rows: Sequence[Mapping[str, Any]]) -> Distribution | None:
    column = summary["columns"][name]
    values = [row[name] for row in rows if is_number(row.get(name))]
    if not values or not is_number(column["mean"]):
        return None
    digits, unit = decimals(column), column["unit"]
    reference = (summary.get("reference") or {}).get(name)
    if not is_number(reference):
        reference = None
    mean, bounds = number(column["mean"], digits), column["ci95"]
    marks = Marks(column["mean"], mean, tuple(bounds) if bounds else None, reference, number(reference, digits))
    bins: Bins = bin_values(values)
    spoken = (
        f"{name}: {len(values)} values from {number(min(values), digits)} to {number(max(values), digits)} {unit}, "
        f"mean {mean}, 95 % interval {interval(bounds, digits)}"
    )
    return Distribution(spark(bins, marks, spoken), histogram(bins, marks, unit, spoken))


def _missing_reasons(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[tuple[str, str, int]]:
    """(column, reason, how many) of the values that utterances with speech lack."""
    counts = Counter(
        (name, (row.get("missing") or {}).get(name) or "no reason was given")
        for row in rows
        for name in columns
        if row["status"] == "ok" and not is_number(row.get(name))
    )
    return [(name, reason, count) for (name, reason), count in counts.items()]


def _table_row(row: Mapping[str, Any], summary: Mapping[str, Any], columns: Sequence[str]) -> TableRow:
    cells = []
    for name in columns:
        value = row.get(name)
        if is_number(value):
            cells.append(Cell(number(value, decimals(summary["columns"][name])), f"{value:.6g}", ""))
        else:
            cells.append(Cell(MISSING, "", (row.get("missing") or {}).get(name) or row.get("reason") or ""))
    return TableRow(row, tuple(cells), audio_link(row.get("audio")))
