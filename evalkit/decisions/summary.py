"""The summary of a run: figures with intervals, coverage, what is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.statistics import Mean, by_item, mean_interval, ratio_interval
from evalkit.runs.log import Row
from metrics import Column

WORST = 5

# Corpus figures: summed errors over summed units, with the counts that the metric leaves in the details.
CORPUS = {
    "wer_corpus": ("wer_errors", "wer_words", "corpus word error rate: all errors over all reference words"),
    "cer_corpus": ("cer_errors", "cer_chars", "corpus character error rate: all errors over all reference characters"),
}


def coverage(rows: Sequence[Row], planned: int) -> dict[str, Any]:
    """How many of the planned utterances could be scored; the rest by status."""
    statuses = Counter(str(row["status"]) for row in rows)
    good = statuses.get("ok", 0)
    return {
        "planned": planned,
        "ok": good,
        "share": good / planned if planned else 0.0,
        "by_status": dict(statuses.most_common()),
        "metric_crashed": sum(bool(row["details"].get("metric_crashed")) for row in rows),
    }


def column_summaries(rows: Sequence[Row], columns: Mapping[str, Column], owner: Mapping[str, str]) -> dict[str, Any]:
    """Per column that has a value anywhere: mean over items with interval, range, worst utterances, definition."""
    present = {name: column for name, column in columns.items() if any(row.get(name) is not None for row in rows)}
    return {name: _column(rows, column, owner[name]) for name, column in present.items()}


def absent_columns(
    rows: Sequence[Row], columns: Mapping[str, Column], unavailable: Mapping[str, str]
) -> dict[str, str]:
    """Column (or metric) -> why it has no value in the whole run."""
    absent = dict(unavailable)
    for name in columns:
        if all(row.get(name) is None for row in rows):
            reasons = Counter(row["missing"][name] for row in rows if name in row["missing"])
            if reasons:
                absent[name] = reasons.most_common(1)[0][0]
    return absent


def corpus_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Corpus WER and CER over every utterance that has a reference text; a failed one has every word wrong."""
    figures: dict[str, Any] = {}
    for name, (errors, units, description) in CORPUS.items():
        ratio = ratio_interval(_counts(rows, errors, units))
        if ratio is not None:
            figures[name] = {
                "value": ratio.value,
                "ci95": ratio.ci95,
                "errors": int(ratio.numerator),
                "of": int(ratio.denominator),
                "unit": "",
                "better": "lower",
                "description": description,
            }
    return figures


def tag_summaries(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """Per tag: number of utterances, and mean with interval of each column."""
    tags = sorted({tag for row in rows for tag in row["tags"]})
    result: dict[str, Any] = {}
    for tag in tags:
        tagged = [row for row in rows if tag in row["tags"]]
        means = {name: mean_of(tagged, name) for name in columns}
        result[tag] = {
            "n": len(tagged),
            "columns": {
                name: {"n": mean.items, "mean": mean.mean, "ci95": mean.ci95} for name, mean in means.items() if mean
            },
        }
    return result


def mean_of(rows: Sequence[Row], column: str) -> Mean | None:
    items = item_values(rows, column)
    return mean_interval(items) if items else None


def item_values(rows: Sequence[Row], column: str) -> dict[str, float]:
    """Item -> value, repeats averaged, items without a value left out."""
    return by_item([(row["item"], row[column]) for row in rows if row.get(column) is not None])


def _column(rows: Sequence[Row], column: Column, metric: str) -> dict[str, Any]:
    scored = [row for row in rows if row.get(column.name) is not None]
    mean = mean_interval(item_values(scored, column.name))
    values = [row[column.name] for row in scored]
    low, high = column.range
    return {
        "n": len(scored),
        "missing": len(rows) - len(scored),
        "mean": mean.mean,
        "sd": mean.sd,
        "ci95": mean.ci95,
        "min": min(values),
        "max": max(values),
        "unit": column.unit,
        "better": column.better,
        "range": [_finite(low), _finite(high)],
        "description": column.description,
        "metric": metric,
        "worst": _worst(scored, column),
    }


def _worst(scored: Sequence[Row], column: Column) -> list[str]:
    """The utterances furthest from the best value; none that has it."""
    if column.better == "neither":
        return []
    best = column.range[0] if column.better == "lower" else column.range[1]
    ordered = sorted(
        (row for row in scored if row[column.name] != best),
        key=lambda row: (row[column.name] if column.better == "higher" else -row[column.name], row["utterance"]),
    )
    return [row["utterance"] for row in ordered[:WORST]]


def _counts(rows: Sequence[Row], errors: str, units: str) -> dict[str, tuple[float, float]]:
    counts: dict[str, tuple[float, float]] = {}
    for row in rows:
        pair = _row_counts(row, errors, units)
        if pair is not None:
            before = counts.get(row["item"], (0.0, 0.0))
            counts[row["item"]] = (before[0] + pair[0], before[1] + pair[1])
    return counts


def _row_counts(row: Row, errors: str, units: str) -> tuple[float, float] | None:
    details = row["details"]
    if units in details:
        return float(details[errors]), float(details[units])
    if row["status"] != "ok" and row["spoken"]:
        total = len(row["spoken"].split()) if units == "wer_words" else len(row["spoken"])
        return float(total), float(total)
    return None


def _finite(bound: float) -> float | None:
    return bound if abs(bound) != float("inf") else None
