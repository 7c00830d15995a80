"""Rules that need no comparison of means: coverage, floors and ceilings, and items that must never regress."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.decisions.gate.figures import Measured, covered, figure
from evalkit.decisions.gate.outcome import NO_BASELINE, TOLERANCE, Outcome, Result, counted, share, written
from evalkit.decisions.gate.schema import Absolute, Coverage, Item
from evalkit.decisions.scores import Meaning, Scores
from evalkit.errors import EvalkitError, some
from evalkit.registry import unknown
from evalkit.runs.log import Row


def judge_coverage(rule: Coverage, ours: Scores, theirs: Scores | None) -> Outcome:
    """ours, theirs: the rows that the rule is about."""
    have, missed = _share(rule, ours.rows), [row for row in ours.rows if not covered(rule, row)]
    before = _share(rule, theirs.rows) if theirs is not None else None
    limits = [rule.min] if rule.min is not None else []
    if rule.max_drop is not None and before is not None:
        limits.append(before - rule.max_drop)
    about: dict[str, Any] = {"name": rule.title, "column": rule.column, "tag": rule.tag, "why": rule.why}
    if not limits:
        return Outcome(**about, kind="coverage", result="skipped", says=NO_BASELINE, figure=have)
    limit = max(limits)
    good = have >= limit - TOLERANCE
    kinds = Counter(_kind(rule, row) for row in missed)
    failures = f" ({', '.join(f'{count} {kind}' for kind, count in kinds.most_common())})" if missed else ""
    of_baseline = limit != rule.min and before is not None
    asked = f"the baseline's {share(before or 0)} less {share(rule.max_drop or 0)}" if of_baseline else share(limit)
    what = "scored" if rule.column is None else f"given a value of {rule.column}"
    return Outcome(
        **about,
        kind="coverage",
        result="pass" if good else "blocked",
        says=f"{len(ours.rows) - len(missed)} of {counted(len(ours.rows), 'utterance')} were {what}, {share(have)}"
        f"{failures}; {'' if good else 'not '}at least {asked}.",
        figure=have,
        limit=limit,
        baseline_mean=before,
        items=sorted({row["item"] for row in missed}),
    )


def judge_absolute(rule: Absolute, ours: Measured) -> Outcome:
    """A mean, or its bound, against a floor and a ceiling."""
    meaning = ours.meaning
    level = 0.95 if rule.confidence is None else 2 * rule.confidence - 1
    found = figure(ours, (level,))
    interval, mean = found.intervals[level], found.difference
    low, high = (mean, mean) if rule.confidence is None else interval or (None, None)
    result: Result = "pass"
    if low is None or high is None:
        result = "undecided"
    elif (rule.min is not None and low < rule.min - TOLERANCE) or (
        rule.max is not None and high > rule.max + TOLERANCE
    ):
        result = "blocked"
    too_low = rule.min is not None and low is not None and low < rule.min - TOLERANCE
    limit = rule.min if too_low or rule.max is None else rule.max
    return Outcome(
        name=rule.title,
        kind="absolute" if rule.tag is None else "tag",
        result=result,
        says=_of_limit(rule, meaning, mean, low if limit == rule.min else high, result, found.pairs),
        column=rule.column,
        tag=rule.tag,
        figure=mean,
        limit=limit,
        interval=interval,
        level=level,
        bound=None if rule.confidence is None else (low if limit == rule.min else high),
        unit=meaning.unit,
        mean=mean,
        pairs=found.pairs,
        why=rule.why,
    )


def judge_item(rule: Item, run: Scores, ours: Measured, theirs: Measured) -> Outcome:
    """Every chosen item of the run by itself; one that failed, where the baseline has a value, has regressed."""
    meaning, before, after = ours.meaning, theirs.by_item(), ours.by_item()
    chosen = _chosen(rule, run)
    compared = [item for item in chosen if item in before]
    falls = _falls(rule, meaning, before, after)
    regressed = [item for item in compared if item not in after or falls[item] > rule.margin + TOLERANCE]
    unknown_before = len(chosen) - len(compared)
    about: dict[str, Any] = {
        "name": rule.title,
        "kind": "item",
        "column": rule.column,
        "tag": rule.tag,
        "why": rule.why,
    }
    if not compared:
        return Outcome(**about, result="skipped", says=f"the baseline has {rule.column} of none of these items.")
    says = f"{len(compared) - len(regressed)} of {counted(len(compared), 'item')} kept their {rule.column}"
    says += f" within {written(rule.margin, meaning.unit)}" if rule.margin else ""
    if regressed:
        says += f"; not {some([_change(item, before, after) for item in regressed])}"
    if unknown_before:
        says += f"; {counted(unknown_before, 'more item')} cannot be compared, as the baseline has no value of them"
    return Outcome(
        **about,
        result="blocked" if regressed else "pass",
        says=f"{says}.",
        figure=-max((falls[item] for item in compared if item in after), default=0.0),
        limit=-rule.margin,
        unit=meaning.unit,
        pairs=len(compared),
        lost=sum(item not in after for item in compared),
        items=regressed,
    )


def _share(rule: Coverage, rows: Sequence[Row]) -> float:
    return sum(covered(rule, row) for row in rows) / len(rows) if rows else 0.0


def _kind(rule: Coverage, row: Row) -> str:
    if row["status"] != "ok":
        return str(row["status"]).replace("_", " ")
    return "with a metric that crashed" if row["details"].get("metric_crashed") else f"without {rule.column}"


def _of_limit(rule: Absolute, meaning: Meaning, mean: float, bound: float | None, result: Result, units: int) -> str:
    limits = [f"at least {written(rule.min, meaning.unit)}"] if rule.min is not None else []
    limits += [f"at most {written(rule.max, meaning.unit)}"] if rule.max is not None else []
    asked = " and ".join(limits)
    said = f"{rule.column} is {written(mean, meaning.unit)} over {counted(units, 'item')}"
    if rule.confidence is None:
        return f"{said}, {'not ' if result == 'blocked' else ''}{asked}."
    sure = f"with {100 * rule.confidence:g} % confidence"
    if bound is None:
        return f"{said}, too few to say whether it is {asked} {sure}."
    end = f"its bound is {written(bound, meaning.unit)}"
    return f"{said}; {end} {sure}, {'not ' if result == 'blocked' else ''}{asked}."


def _chosen(rule: Item, ours: Scores) -> list[str]:
    """Ids in order. Raises EvalkitError on a pattern that no item of the run matches."""
    ids = sorted({row["item"] for row in ours.rows})
    if not rule.items:
        return ids
    chosen: set[str] = set()
    for pattern in rule.items:
        hits = set(fnmatch.filter(ids, pattern)) if pattern not in ids else {pattern}
        if not hits:
            raise EvalkitError(f"The rule '{rule.title}': {unknown('item', pattern, ids)}")
        chosen |= hits
    return sorted(chosen)


def _falls(
    rule: Item, meaning: Meaning, before: Mapping[str, float], after: Mapping[str, float]
) -> Mapping[str, float]:
    """Item -> how far it fell; of a column without a direction how far it moved."""
    better = rule.better if rule.better and meaning.better == "neither" else meaning.better
    changes = {item: after[item] - before[item] for item in before.keys() & after.keys()}
    if better == "neither":
        return {item: abs(change) for item, change in changes.items()}
    return {item: -change if better == "higher" else change for item, change in changes.items()}


def _change(item: str, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    now = written(after[item]) if item in after else "no value"
    return f"{item} ({written(before[item])} to {now})"
