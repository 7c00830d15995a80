"""The summary of a run: figures with intervals, coverage, what is missing and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from evalkit.decisions.statistics import Mean, by_item, mean_interval, median_interval, percentiles, ratio_interval
from evalkit.runs.log import Row
from metrics import Column, Entity
from metrics.text import normalize
from metrics.text_entities import places

WORST = 5
DELETIONS = "deletions"  # what all errors of a failed utterance are: nothing was heard


@dataclass(frozen=True)
class Corpus:
    """Summed errors over summed units, from the counts that a metric leaves in the details.

    kinds: counts that the errors are the sum of.
    """

    errors: str
    units: str
    description: str
    kinds: tuple[str, ...] = ()


CORPUS = {  # by column
    "wer": Corpus(
        "wer_errors",
        "wer_words",
        "corpus word error rate: all errors over all reference words",
        ("substitutions", DELETIONS, "insertions"),
    ),
    "cer": Corpus("cer_errors", "cer_chars", "corpus character error rate: all errors over all reference characters"),
    "entity_wer": Corpus(
        "entity_errors", "entity_words", "corpus word error rate of names: all errors in names over all their words"
    ),
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


def column_summaries(
    rows: Sequence[Row], columns: Mapping[str, Column], owner: Mapping[str, str], shared: Set[str] = frozenset()
) -> dict[str, Any]:
    """Per column that has a value anywhere: mean over items with interval, range, worst utterances, definition.

    shared: columns of which many utterances share one measurement, as the time of a batch; they have no interval.
    """
    present = {name: column for name, column in columns.items() if any(row.get(name) is not None for row in rows)}
    found = {name: _column(rows, column, owner[name]) for name, column in present.items()}
    return {name: {**one, "ci95": None} if name in shared else one for name, one in found.items()}


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
    """`wer_corpus` and the like over every utterance that has a reference text; a failed one has every word wrong."""
    figures: dict[str, Any] = {}
    for column, corpus in CORPUS.items():
        counts = [_counts(row, column, corpus) for row in rows]
        ratio = ratio_interval(_by_item(rows, counts, corpus))
        if ratio is not None:
            figures[f"{column}_corpus"] = {
                "value": ratio.value,
                "ci95": ratio.ci95,
                "errors": int(ratio.numerator),
                "of": int(ratio.denominator),
                **{kind: sum(count[kind] for count in counts) for kind in corpus.kinds},
                "unit": "",
                "better": "lower",
                "description": corpus.description,
            }
    return figures


def corpus_counts(rows: Sequence[Row], column: str) -> dict[str, tuple[float, float]]:
    """Item -> errors and units of the corpus figure of a column, summed over its repeats; only items with units."""
    corpus = CORPUS[column]
    return _by_item(rows, [_counts(row, column, corpus) for row in rows], corpus)


def tag_summaries(rows: Sequence[Row], columns: Sequence[str], shared: Set[str] = frozenset()) -> dict[str, Any]:
    """Per tag: number of utterances, and mean with interval of each column. shared: see `column_summaries`."""
    tags = sorted({tag for row in rows for tag in row["tags"]})
    result: dict[str, Any] = {}
    for tag in tags:
        tagged = [row for row in rows if tag in row["tags"]]
        means = {name: mean_of(tagged, name) for name in columns}
        result[tag] = {
            "n": len(tagged),
            "columns": {
                name: {"n": mean.items, "mean": mean.mean, "ci95": None if name in shared else mean.ci95}
                for name, mean in means.items()
                if mean
            },
        }
    return result


def add_percentiles(summaries: Mapping[str, dict[str, Any]], rows: Sequence[Row], columns: Set[str]) -> None:
    """Give the summaries of these columns percentiles over utterances, and the interval of the median over items."""
    for name in columns & summaries.keys():
        items: dict[str, list[float]] = {}
        for row in rows:
            if row.get(name) is not None:
                items.setdefault(row["item"], []).append(row[name])
        values = [value for repeats in items.values() for value in repeats]
        summaries[name] |= {"percentiles": percentiles(values), "median_ci95": median_interval(items)}


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


def _by_item(rows: Sequence[Row], counts: Sequence[Counter[str]], corpus: Corpus) -> dict[str, tuple[float, float]]:
    """Item -> errors and units, summed over its repeats; only items that have units."""
    summed: dict[str, Counter[str]] = {}
    for row, count in zip(rows, counts, strict=True):
        summed.setdefault(row["item"], Counter()).update(count)
    return {item: (one[corpus.errors], one[corpus.units]) for item, one in summed.items() if one[corpus.units]}


def _counts(row: Row, column: str, corpus: Corpus) -> Counter[str]:
    """Errors, units and kinds of errors of one utterance; nothing where the metric gave no value."""
    details = row["details"]
    if corpus.units in details:
        return Counter({name: details[name] for name in (corpus.errors, corpus.units, *corpus.kinds)})
    if row["status"] == "ok" or row.get(column) is None:
        return Counter()
    units = _reference_units(row)[corpus.units]
    return Counter(dict.fromkeys((corpus.errors, corpus.units, DELETIONS), units))


def _reference_units(row: Row) -> dict[str, int]:
    """What there was to hear, counted as a judge's transcript is compared: after normalising."""
    text = row["spoken"] or ""
    words = normalize(text).split()
    entities = [Entity(spelling, ()) for spelling in row.get("entities") or ()]
    return {
        "wer_words": len(words),
        "cer_chars": len(" ".join(words)),
        "entity_words": sum(place.end - place.start for place in places(text, words, entities)),
    }


def _finite(bound: float) -> float | None:
    return bound if abs(bound) != float("inf") else None
